//! A browser, driven over W3C WebDriver: Chromium without a window, by chromedriver.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Condvar, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

use crate::harness::{server::Server, skip};

/// How long something may take to appear on a page.
const PATIENCE: Duration = Duration::from_secs(30);
/// Browsers at the same time; each is several processes.
const MOST: usize = 2;
/// The key under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

static OPEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// A browser with a profile of its own. Ends when dropped.
pub struct Browser {
    agent: Agent,
    session: String,
    driver: Child,
    base: String,
    downloads: TempDir,
}

/// The program, where it is installed.
fn installed(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file())
}

impl Browser {
    /// A browser at `server`; `None`, said aloud, where there is none on this machine.
    pub fn open(server: &Server) -> Option<Self> {
        let (Some(driver), Some(chromium)) =
            (installed(&["chromedriver"]), installed(&["chromium", "chromium-browser"]))
        else {
            skip("the console in a browser: chromium and chromium-driver are not installed");
            return None;
        };
        let mut open = OPEN.0.lock().unwrap();
        while *open >= MOST {
            open = OPEN.1.wait(open).unwrap();
        }
        *open += 1;
        drop(open);
        Some(Self::start(&driver, &chromium, server))
    }

    fn start(driver: &Path, chromium: &Path, server: &Server) -> Self {
        let mut driver = Command::new(driver)
            .args(["--port=0", "--log-level=SEVERE"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.find(|line| line.contains("started successfully")).expect("chromedriver says its port");
        let port: String =
            said.chars().rev().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        let port: String = port.chars().rev().collect();
        // Its pipe stays open, so that it never writes into a closed one.
        std::thread::spawn(move || lines.for_each(drop));
        let downloads = tempfile::tempdir().unwrap();
        let agent = Agent::new_with_config(
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(120))).build(),
        );
        let mut browser = Self {
            agent,
            session: format!("http://127.0.0.1:{port}/session"),
            driver,
            base: format!("https://localhost:{}", server.admin_addr().port()),
            downloads,
        };
        let folder = browser.downloads.path().to_str().unwrap().to_owned();
        let made = browser.ask("POST", "", &json!({"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": true,
            "timeouts": {"script": 60_000},
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {
                "binary": chromium,
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", "--lang=en-GB",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
                    "--disable-default-apps", "--force-device-scale-factor=1", "--hide-scrollbars", "--window-size=1280,900",
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
                ],
                "prefs": {"download.default_directory": folder, "download.prompt_for_download": false, "intl.accept_languages": "en-GB"},
            },
        }}}));
        let id = made["sessionId"].as_str().expect("a session").to_owned();
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let address = format!("{}{path}", self.session);
        let request =
            ureq::http::Request::builder().method(method).uri(address).header("content-type", "application/json");
        let answer = match method {
            "POST" => self.agent.run(request.body(body.to_string()).unwrap()),
            _ => self.agent.run(request.body(()).unwrap()),
        };
        let mut answer = answer.map_err(|error| error.to_string())?;
        let text =
            answer.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(&text).map_err(|_| text.clone())?;
        if answer.status().is_success() {
            Ok(value["value"].clone())
        } else {
            Err(value["value"]["message"].to_string())
        }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_ask(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Runs a script in the page; what it returns.
    pub fn run(&self, script: &str, given: &[Value]) -> Value {
        self.ask("POST", "/execute/sync", &json!({"script": script, "args": given}))
    }

    /// Runs a script that calls its last argument when it is done.
    pub fn run_async(&self, script: &str, given: &[Value]) -> Value {
        self.ask("POST", "/execute/async", &json!({"script": script, "args": given}))
    }

    /// Goes to an address of the console, such as `/adapters`.
    pub fn go(&self, path: &str) {
        let now = self.run("return location.origin", &[]);
        if now == self.base.as_str() {
            self.run("location.hash = arguments[0]", &[path.into()]);
        } else {
            self.ask("POST", "/url", &json!({"url": format!("{}/#{path}", self.base)}));
        }
    }

    /// Loads the page anew, at an address of the console.
    pub fn load(&self, path: &str) {
        self.ask("POST", "/url", &json!({"url": "about:blank"}));
        self.ask("POST", "/url", &json!({"url": format!("{}/#{path}", self.base)}));
    }

    /// Sets the size of what is seen.
    pub fn resize(&self, width: u32, height: u32) {
        let parameters = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask(
            "POST",
            "/goog/cdp/execute",
            &json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": parameters}),
        );
    }

    /// What the page says: its visible text and its title.
    pub fn text(&self) -> String {
        self.run("return document.title + '\\n' + document.body.innerText", &[]).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until `script` returns something that is there.
    pub fn wait(&self, what: &str, script: &str, given: &[Value]) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.try_ask("POST", "/execute/sync", &json!({"script": script, "args": given}));
            if let Ok(found) = &found
                && !found.is_null()
                && found != &Value::Bool(false)
            {
                return found.clone();
            }
            if Instant::now() > until {
                panic!("{what} does not appear ({found:?}). The page:\n{}\n{:?}", self.text(), self.complaints());
            }
            std::thread::sleep(Duration::from_millis(40));
        }
    }

    /// Waits until the page says this.
    pub fn sees(&self, text: &str) {
        self.wait(text, "return document.body.innerText.replace(/\\s+/g, ' ').includes(arguments[0])", &[text.into()]);
    }

    /// Waits until the page no longer says this.
    pub fn misses(&self, text: &str) {
        let script = "return !document.body.innerText.replace(/\\s+/g, ' ').includes(arguments[0])";
        self.wait(&format!("an end of {text:?}"), script, &[text.into()]);
    }

    /// Whether there is such a button or link now.
    pub fn offers(&self, name: &str) -> bool {
        !self.run(&format!("{FIND} return press(arguments[0])"), &[name.into()]).is_null()
    }

    /// Presses the button or follows the link with this name, as a person would. In an open dialog only what is in it.
    pub fn press(&self, name: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let script = format!(
                "{FIND} const one = press(arguments[0]); one?.scrollIntoView({{ block: 'center' }}); return one"
            );
            let found = self.wait(name, &script, &[name.into()]);
            let element = found[ELEMENT].as_str().expect("an element");
            match self.try_ask("POST", &format!("/element/{element}/click"), &json!({})) {
                Ok(_) => return,
                // It was shown anew meanwhile, or something lay above it.
                Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(40)),
                Err(error) => panic!("{name} cannot be pressed: {error}"),
            }
        }
    }

    fn field(&self, label: &str) -> String {
        let found = self.wait(label, &format!("{FIND} return field(arguments[0])"), &[label.into()]);
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Types into the field with this label, in place of what is there.
    pub fn fill(&self, label: &str, text: &str) {
        let element = self.field(label);
        self.ask("POST", &format!("/element/{element}/clear"), &json!({}));
        self.ask("POST", &format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Pastes into the field with this label.
    pub fn paste(&self, label: &str, text: &str) {
        let element = self.field(label);
        let script =
            "arguments[0].focus(); arguments[0].select(); document.execCommand('insertText', false, arguments[1])";
        self.run(script, &[json!({ELEMENT: element}), text.into()]);
    }

    /// Chooses, in the field with this label, the option that begins with this text.
    pub fn choose(&self, label: &str, option: &str) {
        let script = format!(
            "{FIND} const list = field(arguments[0]); const one = list && [...list.options].find(o => o.text.startsWith(arguments[1]));
             if (!one) return null; list.value = one.value; list.dispatchEvent(new Event('input', {{bubbles: true}})); return true"
        );
        self.wait(option, &script, &[label.into(), option.into()]);
    }

    /// Ticks the box or chooses the radio button whose label has this text in it.
    pub fn tick(&self, label: &str) {
        let script = format!("{FIND} return tick(arguments[0])");
        let found = self.wait(label, &script, &[label.into()]);
        self.ask("POST", &format!("/element/{}/click", found[ELEMENT].as_str().unwrap()), &json!({}));
    }

    /// The text in the box to copy with this label.
    pub fn copied(&self, label: &str) -> String {
        let script = "for (const box of document.querySelectorAll('.copybox')) if (box.querySelector('.copyhead > span').innerText.startsWith(arguments[0])) return box.querySelector('pre').textContent";
        self.wait(label, script, &[label.into()]).as_str().unwrap().to_owned()
    }

    /// Presses a key of the keyboard.
    pub fn key(&self, key: &str) {
        let code = match key {
            "Tab" => "\u{e004}",
            "Enter" => "\u{e007}",
            "Escape" => "\u{e00c}",
            other => other,
        };
        let actions = json!([{"type": "keyDown", "value": code}, {"type": "keyUp", "value": code}]);
        self.ask("POST", "/actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}));
    }

    /// Waits for a file whose name ends so, and returns its content.
    pub fn downloaded(&self, end: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let files = std::fs::read_dir(self.downloads.path()).unwrap().map(|file| file.unwrap().path());
            let found = files.into_iter().find(|file| file.to_str().is_some_and(|name| name.ends_with(end)));
            if let Some(text) =
                found.and_then(|file| std::fs::read_to_string(file).ok()).filter(|text| !text.is_empty())
            {
                return text;
            }
            assert!(Instant::now() < until, "no file {end} was downloaded");
            std::thread::sleep(Duration::from_millis(40));
        }
    }

    /// A picture of the whole page, PNG.
    pub fn picture(&self) -> Vec<u8> {
        let parameters = json!({"format": "png", "captureBeyondViewport": false});
        let taken =
            self.ask("POST", "/goog/cdp/execute", &json!({"cmd": "Page.captureScreenshot", "params": parameters}));
        use base64ct::Encoding as _;
        base64ct::Base64::decode_vec(taken["data"].as_str().unwrap()).unwrap()
    }

    /// What the page complained about in the browser's console, apart from refusals that a journey provokes.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.ask("POST", "/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let texts = entries.iter().filter(|one| one["level"] == "SEVERE").filter_map(|one| one["message"].as_str());
        texts.filter(|text| !text.contains("the server responded with a status of")).map(str::to_owned).collect()
    }

    /// Signs in with an API key.
    pub fn sign_in(&self, key: &str) {
        self.load("/");
        self.fill("API key", key);
        self.press("Sign in");
        self.sees("Overview");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.try_ask("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        *OPEN.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) -= 1;
        OPEN.1.notify_one();
    }
}

/// Finds things as people do: by their names.
const FIND: &str = "
const scope = [...document.querySelectorAll('dialog[open]')].at(-1) || document;
const shown = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled;
const named = (one) => (one.getAttribute('aria-label') || one.innerText || '').replace(/\\s+/g, ' ').trim();
const press = (name) => [...scope.querySelectorAll('button, a, summary')].find((one) => shown(one) && named(one) === name) || null;
const field = (name) => { for (const label of scope.querySelectorAll('label[for]')) if (label.innerText.trim() === name) { const one = document.getElementById(label.htmlFor); if (one && shown(one)) return one; } return null; };
const tick = (name) => { for (const label of scope.querySelectorAll('label')) if (label.innerText.includes(name)) { const one = label.querySelector('input[type=checkbox], input[type=radio]'); if (one) return one; } return null; };
";
