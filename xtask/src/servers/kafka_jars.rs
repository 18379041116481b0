//! Apache Kafka's jars, fetched by Maven's ordinary client and kept for later runs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Result, bail};

use super::locate;

/// The release that the tests run against.
pub const KAFKA_VERSION: &str = "4.4.0";

/// The broker with its run-time dependencies, and a backend for its log.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>trackops</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>@KAFKA@</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
"#;

/// The folder with the jars, fetched if they aren't there yet.
///
/// They are fetched into a folder of this process's own, which is renamed when it is complete. So an
/// interrupted fetch, or two at once, leave no incomplete folder.
pub fn ensure() -> Result<PathBuf> {
    let cache = cache_dir()?;
    let jars = cache.join(format!("kafka-{KAFKA_VERSION}"));
    if jars.is_dir() {
        return Ok(jars);
    }
    fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let partial = cache.join(format!("kafka-{KAFKA_VERSION}.partial-{}", process::id()));
    let fetched = fetch(&partial).and_then(|()| {
        // Another process may have put its folder there in between, which is as good.
        fs::rename(partial.join("jars"), &jars)
            .or_else(|error| if jars.is_dir() { Ok(()) } else { Err(error) })?;
        Ok(())
    });
    // If this fails, the folder is left in the cache, which does no harm.
    let _ = fs::remove_dir_all(&partial);
    fetched.map(|()| jars)
}

fn fetch(partial: &Path) -> Result<()> {
    let maven = locate::find_on_path("mvn").context("no mvn here: install Maven")?;
    eprintln!("fetching Apache Kafka {KAFKA_VERSION} with Maven (43 MB, once)");
    fs::create_dir_all(partial)?;
    let pom = partial.join("pom.xml");
    fs::write(&pom, POM.replace("@KAFKA@", KAFKA_VERSION))?;
    let output = Command::new(maven)
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!(
            "-DoutputDirectory={}",
            partial.join("jars").display()
        ))
        .output()
        .context("run mvn")?;
    if !output.status.success() {
        bail!(
            "mvn could not fetch Kafka:\n{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(())
}

fn cache_dir() -> Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.filter(|path| path.is_absolute()).or_else(home);
    Ok(cache
        .context("neither XDG_CACHE_HOME nor HOME is set")?
        .join("trackops"))
}
