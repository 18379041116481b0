//! The text for a person once the cluster runs: where everything is, and what to try.

use std::path::Path;

use super::member::{self, Member};
use super::plan::Plan;
use crate::cargo;

/// Prints it all.
pub fn print(plan: &Plan, listen: &str, dir: &Path) {
    println!(
        "\n{:<10} {:<8} {:<28} {:<28}",
        "", "process", "public", "management"
    );
    for member in plan.members() {
        println!("{}", line(member));
    }
    let program = cargo::target_dir().map_or_else(
        |_| "trackops".to_owned(),
        |target| target.join("debug/trackops").display().to_string(),
    );
    let management = |member: &Member| member.management.clone().unwrap_or_default();
    let [first, .., victim] = &plan.replicas[..] else {
        println!("\none replica: give more by --replicas. Ctrl-C stops everything but the servers");
        return;
    };
    let (admin, pid) = (management(first), victim.pid().unwrap_or_default());
    let (name, script) = (&victim.name, member::script(dir, &victim.name));
    println!(
        "
look at
  http://{admin}/admin/v1/cluster        replicas, leases, links
  http://{admin}/admin/v1/shards         who owns which shard
  http://{admin}/metrics                 the counters of {first_name}
  http://{listen}/docs

try, in other terminals
  {program} place --url http://{listen}             # any replica takes it
  {program} watch --url http://{listen} --since 0   # its updates, live
  {program} advance --url http://{listen} ID preparing
  kill -9 {pid}                      # {name}: in about two seconds the others own its shards
  sh {script} &   # it is back, and gets its share
  curl --json '' http://{admin}/admin/v1/cluster/nodes/{name}/drain   # it gives its shards away, nobody waits

logs and scripts are in {dir}
Ctrl-C stops everything but the servers: cargo xtask services down",
        first_name = first.name,
        script = script.display(),
        dir = dir.display(),
    );
}

fn line(member: &Member) -> String {
    let url = |address: &str| format!("http://{address}");
    let management = member.management.as_deref().map(url).unwrap_or_default();
    format!(
        "{:<10} {:<8} {:<28} {:<28}",
        member.name,
        member.pid().unwrap_or_default(),
        url(&member.public),
        management
    )
}
