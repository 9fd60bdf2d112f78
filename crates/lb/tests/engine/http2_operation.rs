//! HTTP/2 to servers while they come, go, drain and slow down: requests share their connections, and none is lost.

use std::net::{SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use relevo_lb::{Admin, Health};
use relevo_model::cluster::CheckKind;

use crate::http2::{connect, get, request, run};
use crate::http2_rig::{Http2Origin, Manner};
use crate::http2_servers::front;
use crate::rig::{Client, Rig, cluster, own_ip, v4, wait_until};

/// Clients that go on until they are told to stop: two of HTTP/1.1, two of HTTP/2 with five requests at a time.
struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(at: SocketAddrV4) -> Self {
        let (stop, good, failed) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..4)
            .map(|number| {
                let (stop, good, failed) = (Arc::clone(&stop), Arc::clone(&good), Arc::clone(&failed));
                let note = move |is_good: bool| {
                    if is_good { &good } else { &failed }.fetch_add(1, Ordering::SeqCst);
                };
                std::thread::spawn(move || {
                    if number < 2 {
                        let mut client = Client::connect(at);
                        while !stop.load(Ordering::SeqCst) {
                            note(client.get("/").is_ok_and(|answer| answer.status == 200));
                        }
                        return;
                    }
                    run(async {
                        let (client, _) = connect(at).await;
                        while !stop.load(Ordering::SeqCst) {
                            let mut five = tokio::task::JoinSet::new();
                            for _ in 0..5 {
                                let mut client = client.clone().ready().await.unwrap();
                                five.spawn_local(async move { get(&mut client, "/").await });
                            }
                            for answer in five.join_all().await {
                                note(answer.is_ok_and(|(status, _)| status == 200));
                            }
                        }
                    });
                })
            })
            .collect();
        Self { stop, good, failed, clients }
    }

    /// Waits until there are some answers more.
    fn flow(&self) {
        let before = self.good.load(Ordering::SeqCst);
        wait_until("clients go on", || self.good.load(Ordering::SeqCst) >= before + 50);
    }

    fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        let (good, failed) = (self.good.load(Ordering::SeqCst), self.failed.load(Ordering::SeqCst));
        assert_eq!(failed, 0, "beside {good} good ones");
    }
}

#[test]
fn servers_that_are_killed_and_come_again_fail_no_request() {
    let other = Http2Origin::start(Manner::default());
    let mut dying = Some(Http2Origin::start(Manner::default()));
    let at = dying.as_ref().unwrap().at;
    let rig = Rig::start(front(&[&other, dying.as_ref().unwrap()]));
    let load = Load::start(rig.at);
    for _ in 0..5 {
        load.flow();
        let before = rig.server(2).requests;
        wait_until("it is asked", || rig.server(2).requests > before + 10);
        // With whatever is under way.
        drop(dying.take());
        load.flow();
        dying = Some(Http2Origin::start_at(at, Manner::default()));
    }
    load.stop();
}

#[test]
fn servers_that_say_goodbye_under_load_fail_no_request() {
    let origins =
        [7, 40].map(|goaway_after| Http2Origin::start(Manner { goaway_after, ..Manner::default() }));
    let rig = Rig::start(front(&[&origins[0], &origins[1]]));
    let load = Load::start(rig.at);
    for _ in 0..10 {
        load.flow();
    }
    load.stop();
    assert!(origins.iter().all(|origin| origin.connections() > 3));
}

#[test]
fn maintenance_and_drain_under_load_fail_no_request() {
    let origins = [(); 2].map(|()| Http2Origin::start(Manner::default()));
    let rig = Rig::start(front(&[&origins[0], &origins[1]]));
    let load = Load::start(rig.at);
    for (turn, wish) in [Admin::Drain, Admin::Maint, Admin::Drain, Admin::Maint].into_iter().enumerate() {
        let name = ["server1", "server2"][turn / 2];
        let seen = || origins[turn / 2].seen.requests.load(Ordering::SeqCst);
        load.flow();
        rig.engine.set_admin(None, name, wish, false);
        wait_until("what it has is done", || rig.server(turn / 2 + 1).connections == 0);
        // A worker may have chosen it at the moment before; then a connection that is there is no reason to ask it.
        let mut before = seen();
        wait_until("fifty answers come without it", || {
            load.flow();
            seen() == std::mem::replace(&mut before, seen())
        });
        rig.engine.set_admin(None, name, Admin::Ready, false);
        wait_until("it is asked again", || seen() > before);
    }
    load.stop();
}

#[test]
fn a_server_in_slow_start_gets_few_requests_on_its_connection() {
    let old = Http2Origin::start(Manner::default());
    let new = Http2Origin::start(Manner::default());
    let at = new.at;
    let mut front = front(&[&old, &new]);
    drop(new);
    front.pool.slow_start = Some(Duration::from_secs(3600));
    front.pool.check.kind = CheckKind::Connect;
    front.pool.check.interval = Duration::from_millis(50);
    front.pool.check.down_interval = Duration::from_millis(50);
    let rig = Rig::start(front);
    rig.wait_health(2, Health::Down);
    let new = Http2Origin::start_at(at, Manner::default());
    rig.wait_health(2, Health::Up);
    let before = [1, 2].map(|number| rig.server(number).requests);
    run(async {
        let (client, _) = connect(rig.at).await;
        for _ in 0..20 {
            let mut ten = tokio::task::JoinSet::new();
            for _ in 0..10 {
                let mut client = client.clone().ready().await.unwrap();
                ten.spawn_local(async move { get(&mut client, "/").await.unwrap().0 });
            }
            assert!(ten.join_all().await.iter().all(|status| *status == 200));
        }
    });
    let [old, late] = [1, 2].map(|number| rig.server(number).requests - before[number - 1]);
    assert_eq!(old + late, 200);
    assert!((1..=40).contains(&late), "{late} of 200");
    assert!(new.connections() >= 1);
}

/// Each request that waits for a server waits by itself, also those of one connection; who leaves frees its place alone.
#[test]
fn a_stream_that_is_reset_in_the_queue_frees_its_place() {
    let origin = Http2Origin::start(Manner::default());
    let mut front = front(&[&origin]);
    front.pool.servers[0].max_connections = Some(1);
    let rig = Rig::start(front);
    let queued = || rig.engine.snapshot().pools[0].queued;
    run(async {
        let (client, _) = connect(rig.at).await;
        let mut client = client.ready().await.unwrap();
        let (first, _) = client.send_request(request("GET", "/never"), true).unwrap();
        while origin.seen.requests.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut waiting: Vec<_> =
            (0..4).map(|_| client.send_request(request("GET", "/"), true).unwrap().0).collect();
        while queued() != 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(waiting.remove(1));
        while queued() != 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Its place at the server goes to the next one, and so on.
        drop(first);
        for answer in waiting {
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    });
    assert_eq!((rig.server(1).requests, queued()), (4, 0));
}

/// A service that goes lets what is under way on shared connections finish; the connections go with it.
#[test]
fn a_pool_that_goes_lets_its_streams_finish() {
    let origin = Http2Origin::start(Manner::default());
    let rig = Rig::start(front(&[&origin]));
    let mut other = front(&[&origin]);
    (other.service.name, other.service.pool, other.pool.name) = ("b".into(), "b".into(), "b".into());
    run(async {
        let (mut client, ended) = connect(rig.at).await;
        let (answer, mut send) = client.send_request(request("POST", "/echo"), false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        rig.engine.apply(&cluster([other])).unwrap();
        send.send_data("late".into(), true).unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), "late");
        body.flow_control().release_capacity(4).unwrap();
        assert!(body.data().await.is_none());
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        drop((client, send, body));
        ended.await.unwrap().unwrap();
    });
    let at = v4(rig.engine.snapshot().services[0].listen[0]);
    assert_eq!(Client::connect(at).get("/").unwrap().status, 200);
}

/// A port that a server had, and has again.
#[test]
fn a_server_that_was_away_is_asked_again() {
    let at = v4(TcpListener::bind((own_ip(), 0)).unwrap().local_addr().unwrap());
    let first = Http2Origin::start_at(at, Manner::default());
    let rig = Rig::start(front(&[&first]));
    let mut client = rig.client();
    for _ in 0..3 {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    drop(first);
    assert_eq!(client.get("/").unwrap().status, 503);
    let _second = Http2Origin::start_at(at, Manner::default());
    for _ in 0..3 {
        assert_eq!(client.get("/").unwrap().status, 200, "its former connection is not used");
    }
}
