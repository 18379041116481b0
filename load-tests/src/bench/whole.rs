//! The whole system at one rate after the other: how many orders are placed and confirmed, what an
//! order costs in CPU time of which process, how large the batches are, and what it does at rest. With
//! `--before` the same for another `trackops`, alternating, so that both see the same machine.

mod figures;
mod probing;
mod reading;
mod rest;
mod roles;
mod step;
mod subject;
mod tables;

use anyhow::{Context as _, Result};

use self::figures::Figures;
use self::probing::{next_rate, try_again};
pub use self::step::drained_within;
pub use self::subject::{Subject, deployments};
use super::checks::ensure_durable;
use super::server_log;
use crate::report::Section;
use crate::system::{Databases, Settings};

/// What is measured unless `--rates` says otherwise.
const RATES: [u32; 7] = [200, 500, 1000, 2000, 3000, 4000, 6000];
/// Before the first of them is measured.
const WARM_UP_RATE: u32 = 1000;
const QUICK_RATES: [u32; 2] = [100, 300];
/// Actors end early enough that the run's many orders don't reach the limit of live ones.
const ORDER_SETTINGS: &[(&str, &str)] = &[("TRACKOPS_PASSIVATE_LIVE_MS", "20000")];
/// Rates that are tried beyond the table's to find an edge.
const PROBES_MAX: usize = 4;

/// Rest, table and edges of each `trackops`.
pub async fn run(settings: &Settings, databases: &Databases) -> Result<Vec<Section>> {
    ensure_durable(settings).await?;
    server_log::prepare(settings).await?;
    let mut subjects = Subject::all(settings, databases, "whole", ORDER_SETTINGS).await?;
    warm_up(&mut subjects, settings).await?;
    for number in 0..subjects.len() {
        let subject = bring_up(&mut subjects, number).await?;
        let roles = &subject.up.as_ref().context("the roles run")?.roles;
        let rest = rest::measure(settings, &subject.deployment, roles).await?;
        eprintln!("  {} at rest: {}", subject.label, rest.describe());
        subject.rest = Some(rest);
    }
    for (round, rate) in rates(settings).into_iter().enumerate() {
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        // A drift of the machine meets both alike: A B, B A, A B.
        if round % 2 == 1 {
            order.reverse();
        }
        for number in order {
            measure(&mut subjects, number, rate, settings).await?;
        }
    }
    for number in 0..subjects.len() {
        find_edge(&mut subjects, number, settings, Figures::held).await?;
        find_edge(&mut subjects, number, settings, Figures::kept_up).await?;
    }
    let mut sections = Vec::new();
    for subject in &mut subjects {
        subject.take_down().await?;
        let counted = subject.check().await?;
        sections.push(tables::of(subject, &counted, settings));
    }
    sections.extend(compared(&subjects));
    Ok(sections)
}

fn rates(settings: &Settings) -> Vec<u32> {
    match settings.rates.as_slice() {
        [] if settings.quick => QUICK_RATES.to_vec(),
        [] => RATES.to_vec(),
        chosen => chosen.to_vec(),
    }
}

/// The subject with its roles running and everybody else's stopped: nobody pays for another's idling.
pub async fn bring_up<'s, 'd>(
    subjects: &'s mut [Subject<'d>],
    number: usize,
) -> Result<&'s mut Subject<'d>> {
    for (other, subject) in subjects.iter_mut().enumerate() {
        if other != number {
            subject.take_down().await?;
        }
    }
    let subject = &mut subjects[number];
    subject.bring_up().await?;
    Ok(subject)
}

/// A broker that has just started compiles itself: what is measured first would pay for it. Each subject
/// alike; its roles then start anew.
async fn warm_up(subjects: &mut [Subject<'_>], settings: &Settings) -> Result<()> {
    let rate = settings.pick(QUICK_RATES[1], WARM_UP_RATE);
    for number in 0..subjects.len() {
        let subject = bring_up(subjects, number).await?;
        if let Err(error) = step::measure(settings, subject, rate).await {
            subject.failure = Some(format!("warm-up: {error:#}"));
        }
        subject.take_down().await?;
    }
    Ok(())
}

/// Measures one rate. A subject that fell over at some rate is asked nothing further.
async fn measure(
    subjects: &mut [Subject<'_>],
    number: usize,
    rate: u32,
    settings: &Settings,
) -> Result<()> {
    if subjects[number].failure.is_some() {
        return Ok(());
    }
    let subject = bring_up(subjects, number).await?;
    match step::measure(settings, subject, rate).await {
        Ok(figures) => {
            eprintln!("  {}: {}", subject.label, figures.describe());
            subject.figures.push(figures);
        }
        Err(error) => {
            let error = error.context(format!("{rate} orders/s"));
            eprintln!("  {}: {error:#}", subject.label);
            subject.failure = Some(format!("{error:#}"));
        }
    }
    Ok(())
}

/// Narrows down the highest rate at which `good` holds.
async fn find_edge(
    subjects: &mut [Subject<'_>],
    number: usize,
    settings: &Settings,
    good: fn(&Figures) -> bool,
) -> Result<()> {
    for _ in 0..settings.pick(1, PROBES_MAX) {
        let figures = &subjects[number].figures;
        let next = try_again(figures, good).or_else(|| {
            let tried = figures
                .iter()
                .map(|figures| (figures.rate, good(figures)))
                .collect::<Vec<_>>();
            next_rate(&tried)
        });
        let Some(rate) = next else { break };
        measure(subjects, number, rate, settings).await?;
    }
    Ok(())
}

fn compared(subjects: &[Subject<'_>]) -> Option<Section> {
    match subjects {
        [before, this] => Some(tables::compared(before, this)),
        _ => None,
    }
}
