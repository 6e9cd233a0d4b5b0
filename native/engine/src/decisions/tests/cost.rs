use std::hint::black_box;
use std::time::Instant;

use super::support::{EXACT, Rig, mask, outbound, pass, poll};
use crate::decisions::DecisionLimits;

/// Prints what a hit costs behind four masks. Run it in the release profile with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn a_hit_costs() {
    const ROUNDS: u32 = 1_000_000;
    let rig = Rig::new(DecisionLimits::default());
    for (number, mask) in [mask(8, true), mask(16, true), mask(24, false), EXACT]
        .into_iter()
        .enumerate()
    {
        rig.settle(
            outbound("a", &format!("10.{number}.0.1"), 80),
            &["k"],
            mask,
            &pass("w"),
        );
    }
    let question = outbound("a", "10.3.0.1", 80);
    let started = Instant::now();
    for _ in 0..ROUNDS {
        let mut flow = Box::pin(rig.decisions.outbound(black_box(question.clone())));
        assert!(poll(&mut flow).is_ready());
    }
    println!("{:?} for a hit", started.elapsed() / ROUNDS);
}
