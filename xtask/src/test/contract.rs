//! The stage "contract tools": other people's programs read the documents of a running `trackops dev` and use it as
//! its documents say, and a browser does what pages may and may not do. The programs and their versions are in `tests/contract-tools/`; they are installed into the
//! target folder, once for each change of that list.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::servers::{Scratch, find_on_path, free_port};

use crate::{cargo, need};

/// How long the server may take to be ready.
const READY_MAX: Duration = Duration::from_mins(1);

/// The files that say what is installed.
const LISTS: [&str; 3] = ["package.json", "package-lock.json", "requirements.txt"];

/// The files that the tools read.
const FILES: [&str; 8] = [
    "browser.mjs",
    "client.ts",
    "hooks.py",
    "messages.mjs",
    "openapi.mjs",
    "schemathesis.toml",
    "spectral.yaml",
    "tsconfig.json",
];

/// Builds the server with the tests, installs the tools and runs each of them.
pub fn run() -> Result<()> {
    need::contract_tools()?;
    // As the tests build it: `cargo build` would choose other features of libraries, and compile all of them again.
    cargo::run(&["test", "--workspace", "--no-run"])?;
    let tools = Tools::install()?;
    let server = Dev::start()?;
    tools.fetch(&server)?;
    tools.run("node", &["openapi.mjs", "openapi.json"])?;
    tools.node(
        "spectral",
        &[
            "lint",
            "--ruleset",
            "spectral.yaml",
            "--fail-severity",
            "hint",
            "openapi.json",
        ],
    )?;
    let source = cargo::workspace().join("src");
    tools.run(
        "node",
        &["messages.mjs", "asyncapi.json", &source.to_string_lossy()],
    )?;
    tools.node(
        "openapi-typescript",
        &["openapi.json", "--output", "api.d.ts"],
    )?;
    tools.node("tsc", &["--project", "tsconfig.json"])?;
    tools.run("node", &["client.js", &server.url])?;
    let document = format!("{}/api/v1/openapi.json", server.url);
    let schemathesis = tools.dir.join("python/bin/schemathesis");
    tools.run(
        &schemathesis.to_string_lossy(),
        &[
            "run",
            "--checks",
            "all",
            "--phases",
            "examples,coverage,fuzzing",
            &document,
        ],
    )?;
    drop(server);
    let program = Dev::program()?;
    let browser = find_on_path("chromium").context("no chromium here")?;
    tools.run(
        "node",
        &[
            "browser.mjs",
            &program.to_string_lossy(),
            &browser.to_string_lossy(),
        ],
    )
}

/// The tools, installed.
struct Tools {
    dir: PathBuf,
}

impl Tools {
    /// Installs what has changed since the last time.
    fn install() -> Result<Self> {
        let source = cargo::workspace().join("tests/contract-tools");
        let dir = cargo::target_dir()?.join("contract-tools");
        fs::create_dir_all(&dir).context("make the folder of the contract tools")?;
        let tools = Self { dir };
        let is_same = |name: &&str| {
            let read = |dir: &Path| fs::read(dir.join(name)).ok();
            read(&source) == read(&tools.dir)
        };
        if !LISTS.iter().all(is_same) {
            // Written last: an install that was interrupted begins again.
            fs::copy(source.join(LISTS[0]), tools.dir.join(LISTS[0]))?;
            fs::copy(source.join(LISTS[1]), tools.dir.join(LISTS[1]))?;
            tools.run(
                "npm",
                &["ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            )?;
            tools.run("python3", &["-m", "venv", "python"])?;
            let list = source.join(LISTS[2]);
            let pip = tools.dir.join("python/bin/pip");
            tools.run(
                &pip.to_string_lossy(),
                &[
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--requirement",
                    &list.to_string_lossy(),
                ],
            )?;
            fs::copy(list, tools.dir.join(LISTS[2]))?;
        }
        for name in FILES {
            fs::copy(source.join(name), tools.dir.join(name))
                .with_context(|| format!("copy {name}"))?;
        }
        Ok(tools)
    }

    /// Stores the documents of `server`.
    fn fetch(&self, server: &Dev) -> Result<()> {
        for name in ["openapi.json", "asyncapi.json"] {
            let url = format!("{}/api/v1/{name}", server.url);
            let script = "const [url, file] = process.argv.slice(1);\
                const answer = await fetch(url);\
                if (!answer.ok) throw new Error(`${url}: ${answer.status}`);\
                (await import('node:fs')).writeFileSync(file, await answer.text());";
            self.run(
                "node",
                &["--input-type=module", "--eval", script, &url, name],
            )?;
        }
        Ok(())
    }

    /// Runs a program that `npm` has installed.
    fn node(&self, program: &str, args: &[&str]) -> Result<()> {
        let program = self.dir.join("node_modules/.bin").join(program);
        self.run(&program.to_string_lossy(), args)
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<()> {
        let status = Command::new(program)
            .args(args)
            .current_dir(&self.dir)
            .env("NO_UPDATE_NOTIFIER", "1")
            .status()
            .with_context(|| format!("start {program}"))?;
        if !status.success() {
            let name = Path::new(program).file_name().unwrap_or_default();
            bail!(
                "{} {} failed",
                name.to_string_lossy(),
                args.first().unwrap_or(&"")
            );
        }
        Ok(())
    }
}

/// A running `trackops dev` on data of its own, in the open mode.
struct Dev {
    url: String,
    child: Child,
    // After the process: fields are dropped in this order.
    _data: Scratch,
}

impl Dev {
    fn start() -> Result<Self> {
        let data = Scratch::new("contract")?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let log = data.path().join("log");
        let child = Command::new(Self::program()?)
            .args(["dev", "--listen", &listen, "--data-dir"])
            .arg(data.path().join("data"))
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .context("start trackops dev")?;
        let mut dev = Self {
            url: format!("http://{listen}"),
            child,
            _data: data,
        };
        let begun = Instant::now();
        while std::net::TcpStream::connect(&listen).is_err() {
            if let Some(status) = dev.child.try_wait()? {
                let said = fs::read_to_string(&log).unwrap_or_default();
                bail!("trackops dev ended with {status}: {said}");
            }
            if begun.elapsed() > READY_MAX {
                bail!(
                    "trackops dev was not ready within {} s",
                    READY_MAX.as_secs()
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(dev)
    }

    fn program() -> Result<PathBuf> {
        Ok(cargo::target_dir()?.join("debug/trackops"))
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Nobody needs its data any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
