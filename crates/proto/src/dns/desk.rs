//! Questions in, answers or further questions out.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Record, RecordType};
use ipnet::IpNet;
use relevo_model::{ClusterFile, Time};

use super::MOST_UDP;
use super::cache::{Cache, Key};
use super::limit::Limit;
use super::zone::{Leases, Said, Zone, plain};

/// Largest answer for who cannot take more (RFC 1035 section 4.2.1), bytes.
const LEAST_UDP: u16 = 512;

/// What to do about a question.
#[derive(Debug)]
pub enum Step {
    /// Send this back.
    Answer(Vec<u8>),
    /// Ask somebody else.
    Forward(Box<Forward>),
    /// Say nothing.
    Silent,
}

/// A question for somebody else.
#[derive(Debug)]
pub struct Forward {
    asked: Message,
    datagram: bool,
    /// What is answered before it: aliases.
    before: Vec<Record>,
    question: Query,
    signatures: bool,
    /// Whom to ask, one after the other.
    pub servers: Vec<SocketAddr>,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Questions.
    pub asked: u64,
    /// Answered from the cluster file or leases.
    pub own: u64,
    /// Answered out of the cache.
    pub cached: u64,
    /// Asked elsewhere.
    pub forwarded: u64,
    /// Asked elsewhere, without an answer.
    pub failed: u64,
    /// Not answered: not allowed, too many, or not DNS.
    pub dropped: u64,
    /// Answers that are remembered now.
    pub remembered: usize,
}

/// The names of a cluster, and what others said.
#[derive(Debug)]
pub struct Desk {
    zone: Zone,
    allow: Vec<IpNet>,
    servers: Vec<SocketAddr>,
    cache: Cache,
    limit: Limit,
    figures: Figures,
}

impl Desk {
    /// For this file; `None`: it has no `[dns]`.
    pub fn new(cluster: &ClusterFile) -> Option<Self> {
        let dns = cluster.dns.as_ref()?;
        Some(Self {
            zone: Zone::new(cluster)?,
            allow: dns.allow.clone(),
            servers: dns.forward.clone(),
            cache: Cache::default(),
            limit: Limit::default(),
            figures: Figures::default(),
        })
    }

    /// Follows a cluster file that was changed. What others said is kept, unless others are asked now.
    pub fn follow(&mut self, cluster: &ClusterFile) {
        let Some(next) = Self::new(cluster) else { return };
        if next.servers != self.servers {
            self.cache = Cache::default();
        }
        (self.zone, self.allow, self.servers) = (next.zone, next.allow, next.servers);
    }

    /// Counts since the start.
    pub fn figures(&self) -> Figures {
        Figures { remembered: self.cache.len(), ..self.figures }
    }

    /// What to do about a question. `datagram`: it came by UDP, and the answer has to fit into one.
    pub fn ask(
        &mut self,
        now: Time,
        source: IpAddr,
        datagram: bool,
        bytes: &[u8],
        leases: &dyn Leases,
    ) -> Step {
        self.figures.asked += 1;
        let step = self.step(now, source, datagram, bytes, leases);
        if matches!(step, Step::Silent) {
            self.figures.dropped += 1;
        }
        step
    }

    fn step(&mut self, now: Time, source: IpAddr, datagram: bool, bytes: &[u8], leases: &dyn Leases) -> Step {
        let source = source.to_canonical();
        if !self.allow.iter().any(|net| net.contains(&source)) || !self.limit.allows(now, source) {
            return Step::Silent;
        }
        let Ok(asked) = Message::from_vec(bytes) else { return malformed(bytes) };
        if asked.metadata.message_type != MessageType::Query {
            return Step::Silent;
        }
        let refuse = |code| Step::Answer(finish(reply(&asked, code), &asked, datagram));
        if asked.metadata.op_code != OpCode::Query {
            return refuse(ResponseCode::NotImp);
        }
        if asked.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return refuse(ResponseCode::BADVERS);
        }
        let [question] = asked.queries.as_slice() else { return refuse(ResponseCode::FormErr) };
        let (name, kind) = (question.name.clone(), question.query_type);
        if question.query_class != DNSClass::IN {
            return refuse(ResponseCode::Refused);
        }
        if matches!(kind, RecordType::AXFR | RecordType::IXFR) {
            return refuse(ResponseCode::Refused);
        }
        match self.zone.say(&name, kind, source, leases) {
            Said::Records { answers, exists } => {
                self.figures.own += 1;
                let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
                let mut message = reply(&asked, code);
                message.metadata.authoritative = true;
                // An alias alone is no answer to what was asked.
                if answers.iter().all(|record| record.record_type() == RecordType::CNAME)
                    && kind != RecordType::CNAME
                {
                    message.add_authorities(self.zone.authority());
                }
                message.add_additionals(self.zone.further(&answers, source));
                message.add_answers(answers);
                Step::Answer(finish(message, &asked, datagram))
            }
            Said::Elsewhere { answers, target } => {
                self.elsewhere(now, asked, datagram, answers, Query::query(target, kind))
            }
            Said::NotOurs => self.elsewhere(now, asked, datagram, Vec::new(), Query::query(name, kind)),
        }
    }

    fn elsewhere(
        &mut self,
        now: Time,
        asked: Message,
        datagram: bool,
        before: Vec<Record>,
        question: Query,
    ) -> Step {
        // A name without a dot is nobody else's business; nor is one asked without the wish for recursion.
        let local = question.name.num_labels() < 2
            && question.query_type != RecordType::NS
            && question.query_type != RecordType::DNSKEY
            && question.query_type != RecordType::DS;
        if self.servers.is_empty() || !asked.metadata.recursion_desired {
            let code = if before.is_empty() { ResponseCode::Refused } else { ResponseCode::NoError };
            let mut message = reply(&asked, code);
            message.add_answers(before);
            return Step::Answer(finish(message, &asked, datagram));
        }
        if local {
            let mut message = reply(&asked, ResponseCode::NXDomain);
            message.add_authorities(self.zone.authority());
            return Step::Answer(finish(message, &asked, datagram));
        }
        let signatures = asked.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        let forward =
            Forward { asked, datagram, before, question, signatures, servers: self.servers.clone() };
        if let Some(message) = self.cache.get(now, &forward.key()) {
            self.figures.cached += 1;
            return Step::Answer(forward.answer(message));
        }
        self.figures.forwarded += 1;
        Step::Forward(Box::new(forward))
    }

    /// The answer to a question that was asked elsewhere. `None`: nobody answered.
    pub fn answered(&mut self, now: Time, forward: &Forward, message: Option<Message>) -> Vec<u8> {
        let Some(message) = message else {
            self.figures.failed += 1;
            return forward.fail();
        };
        self.cache.put(now, forward.key(), &message);
        forward.answer(message)
    }
}

impl Forward {
    fn key(&self) -> Key {
        (plain(&self.question.name), self.question.query_type, self.signatures)
    }

    /// The question on the wire. `id` shall be hard to guess.
    pub fn question(&self, id: u16) -> Vec<u8> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.metadata.checking_disabled = self.asked.metadata.checking_disabled;
        message.add_query(self.question.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(MOST_UDP).set_version(0).set_dnssec_ok(self.signatures);
        message.set_edns(edns);
        message.to_vec().unwrap_or_default()
    }

    /// Reads what came back. `None`: it is no answer to this question.
    pub fn read(&self, id: u16, bytes: &[u8]) -> Option<Message> {
        let message = Message::from_vec(bytes).ok()?;
        let [question] = message.queries.as_slice() else { return None };
        let fits = message.metadata.id == id
            && message.metadata.message_type == MessageType::Response
            && question.name == self.question.name
            && question.query_type == self.question.query_type
            && question.query_class == DNSClass::IN;
        fits.then_some(message)
    }

    /// Whether the answer is cut and has to be asked for by TCP.
    pub fn is_cut(message: &Message) -> bool {
        message.metadata.truncation
    }

    /// Whether another server may know better.
    pub fn is_failure(message: &Message) -> bool {
        !matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
    }

    /// The answer when nobody else gave one.
    pub fn fail(&self) -> Vec<u8> {
        finish(reply(&self.asked, ResponseCode::ServFail), &self.asked, self.datagram)
    }

    fn answer(&self, from: Message) -> Vec<u8> {
        let mut message = reply(&self.asked, from.metadata.response_code);
        message.metadata.authentic_data = from.metadata.authentic_data && self.signatures;
        message.add_answers(self.before.iter().cloned());
        message.add_answers(from.answers);
        message.add_authorities(from.authorities);
        message.add_additionals(from.additionals);
        finish(message, &self.asked, self.datagram)
    }
}

/// An answer without records. Its question is the one asked, letter by letter.
fn reply(asked: &Message, code: ResponseCode) -> Message {
    let mut message = Message::response(asked.metadata.id, asked.metadata.op_code);
    message.metadata.recursion_desired = asked.metadata.recursion_desired;
    message.metadata.checking_disabled = asked.metadata.checking_disabled;
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.add_queries(asked.queries.iter().cloned());
    if asked.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(MOST_UDP).set_version(0).set_rcode_high(code.high());
        edns.set_dnssec_ok(asked.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok));
        message.set_edns(edns);
    }
    message
}

/// The bytes of an answer; one that does not fit into a datagram is cut, and the client asks by TCP.
fn finish(mut message: Message, asked: &Message, datagram: bool) -> Vec<u8> {
    let most = match &asked.edns {
        _ if !datagram => u16::MAX,
        Some(edns) => edns.max_payload().clamp(LEAST_UDP, MOST_UDP),
        None => LEAST_UDP,
    };
    let fits = |bytes: &Vec<u8>| bytes.len() <= usize::from(most);
    if let Some(bytes) = message.to_vec().ok().filter(fits) {
        return bytes;
    }
    // What is only helpful goes first.
    message.additionals.clear();
    if let Some(bytes) = message.to_vec().ok().filter(fits) {
        return bytes;
    }
    message.truncate().to_vec().unwrap_or_default()
}

/// Something that is not DNS gets no answer, unless it looks like a question: then it is told so.
fn malformed(bytes: &[u8]) -> Step {
    let (Some(id), Some(flags)) = (bytes.first_chunk::<2>(), bytes.get(2)) else { return Step::Silent };
    if bytes.len() < 12 || flags & 0x80 != 0 {
        return Step::Silent;
    }
    let message = Message::error_msg(u16::from_be_bytes(*id), OpCode::Query, ResponseCode::FormErr);
    message.to_vec().map_or(Step::Silent, Step::Answer)
}
