//! Two at random.

use relevo_model::cluster::Balance;

use super::*;
use crate::balance::mix;

#[test]
fn idle_servers_are_drawn_by_their_weights() {
    let table = table(&all_up(&[1, 2, 7]), &Balance::Random);
    let mut counts = [0_u32; 3];
    for number in 0..10_000 {
        let chosen = table.choose(&Ask { random: mix(number), ..idle(number) }).server().unwrap();
        counts[usize::from(chosen)] += 1;
    }
    for (count, due) in counts.iter().zip([1000, 2000, 7000]) {
        assert!(count.abs_diff(due) < 150, "{counts:?}");
    }
}

#[test]
fn of_two_the_less_busy_one_is_taken_by_weight() {
    // Requests that stay: connections become even, as one draw does not make them.
    let table = table(&all_up(&[1, 1, 1, 1, 4]), &Balance::Random);
    let mut loads = [0_u32; 5];
    for number in 0..8000 {
        let ask = Ask { random: mix(number), ..busy(number, |server| loads[usize::from(server)]) };
        let chosen = table.choose(&ask).server().unwrap();
        loads[usize::from(chosen)] += 1;
    }
    for (load, weight) in loads.iter().zip([1, 1, 1, 1, 4]) {
        assert!(load.abs_diff(1000 * weight) <= 8 * weight, "{loads:?}");
    }
}

#[test]
fn a_draw_falls_on_somebody_else_when_one_was_tried() {
    let table = table(&all_up(&[1, 100]), &Balance::Random);
    for number in 0..100 {
        let ask = Ask { random: mix(number), tried: &tried(&[1]), ..idle(number) };
        assert_eq!(table.choose(&ask), Choice::Server(0));
    }
}
