//! `reports FOLDER [GROUP]`: criterion's reports of what `figures` measures, for a person who wants to see how the times are
//! spread. They are taken one contender after the other: to compare contenders, `figures` is the better one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use criterion::Criterion;
use tombolo_benches::figures::{GROUPS, contests};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: reports FOLDER [GROUP]");
        return ExitCode::from(2);
    };
    let chosen = arguments.next();
    let mut criterion = Criterion::default()
        .output_directory(&folder)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(20)
        .nresamples(2000);
    for group in GROUPS.into_iter().filter(|group| chosen.as_deref().is_none_or(|chosen| chosen == *group)) {
        for mut contest in contests(group).into_iter().flatten() {
            let mut reports = criterion.benchmark_group(contest.name().to_owned());
            for (name, contender) in contest.contenders() {
                reports.bench_function(name, |bencher| {
                    bencher.iter_custom(|operations| contender.time(operations));
                });
            }
            reports.finish();
        }
    }
    criterion.final_summary();
    ExitCode::SUCCESS
}
