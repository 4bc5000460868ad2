//! Tests whether the time of a response distinguishes an unknown account from a wrong password: two samples, taken in
//! turns, and the Mann–Whitney test of whether one tends to be larger.
//!
//! `cargo bench -p notestamp-server --bench sign_in_timing`

mod common;

use std::cmp::Ordering;
use std::time::Duration;

use common::{EMAIL, Outcome, Server, quantile};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

const SAMPLES: usize = 200;

fn main() -> Outcome<()> {
    // In another thread, so that the client's own work does not delay the server.
    let host = Runtime::new()?;
    let server = host.block_on(Server::spawn())?.apart()?;
    Builder::new_current_thread().enable_all().build()?.block_on(compare(&server))
}

async fn compare(server: &Server) -> Outcome<()> {
    for _ in 0..10 {
        fail(server, EMAIL).await?;
    }
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for turn in 0..SAMPLES {
        let stranger = format!("nobody-{turn}@example.org");
        // Each of the two is first equally often.
        if turn % 2 == 0 {
            known.push(fail(server, EMAIL).await?);
            unknown.push(fail(server, &stranger).await?);
        } else {
            unknown.push(fail(server, &stranger).await?);
            known.push(fail(server, EMAIL).await?);
        }
    }
    for (name, times) in [("wrong password", &known), ("unknown account", &unknown)] {
        let (low, median, high) = (quantile(times, 0.25), quantile(times, 0.5), quantile(times, 0.75));
        println!("{name:<15} n = {SAMPLES}, median {median:.2?}, middle half {low:.2?} to {high:.2?}");
    }
    let ratio = quantile(&unknown, 0.5).as_secs_f64() / quantile(&known, 0.5).as_secs_f64();
    println!("ratio of the medians {ratio:.3}, p = {:.3}", mann_whitney(&known, &unknown));
    Ok(())
}

async fn fail(server: &Server, email: &str) -> Outcome<Duration> {
    let begun = Instant::now();
    let response = server.sign_in(email, "a wrong guess").await?;
    assert_eq!(response.status(), 401);
    response.bytes().await?;
    Ok(begun.elapsed())
}

/// The p-value: how likely a difference of at least this size is if both samples have the same distribution. Two-sided,
/// by the normal approximation, which needs about twenty samples.
fn mann_whitney(a: &[Duration], b: &[Duration]) -> f64 {
    let (n, m) = (a.len() as f64, b.len() as f64);
    let win = |x: &Duration, y: &Duration| match x.cmp(y) {
        Ordering::Greater => 1.0,
        Ordering::Equal => 0.5,
        Ordering::Less => 0.0,
    };
    let u: f64 = a.iter().flat_map(|x| b.iter().map(move |y| win(x, y))).sum();
    let z = (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt();
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// The complementary error function for non-negative numbers (Abramowitz and Stegun, 7.1.26).
fn erfc(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    polynomial.iter().fold(0.0, |sum, coefficient| (sum + coefficient) * t) * (-x * x).exp()
}
