// Reads streams with the `EventSource` of a browser, or with the clients of npm in Node.js, which are started
// with the folder of the packages and the addresses of the streams as arguments.

/** Reads one stream with an `EventSource`; one that gives up is replaced, and begins after its last event. */
function read(make, url, report, last = "") {
  const source = make(last ? `${url}?after=${last}` : url);
  const got = (message) => {
    last = message.lastEventId || last;
    report({ data: message.data });
  };
  source.onopen = () => report({ opened: true });
  source.onmessage = got;
  source.addEventListener("gap", got);
  source.onerror = () => {
    if (source.readyState === 2) {
      report({ gaveUp: true });
      setTimeout(() => read(make, url, report, last), 100);
    }
  };
}

/** Reads one stream with fetch-event-source, which calls the end of an answer no error. */
function fetchOn(fetchEventSource, url, report) {
  fetchEventSource(url, {
    openWhenHidden: true,
    async onopen(response) {
      if (!response.ok) throw new Error(response.status);
      report({ opened: true });
    },
    onmessage: (message) => message.data && report({ data: message.data }),
    onclose: () => { throw new Error("ended"); },
    onerror: () => 100,
  }).catch((error) => report({ gaveUp: String(error) }));
}

/** In a page: reads one stream, and posts what came to the page's own server. */
function readHere(client, way, url) {
  const waiting = [];
  let posting = false;
  const post = async () => {
    if (posting || !waiting.length) return;
    posting = true;
    const body = JSON.stringify(waiting.splice(0));
    await fetch("/page/reports", { method: "POST", body });
    posting = false;
    post();
  };
  read((address) => new EventSource(address), url, (report) => {
    waiting.push({ client, way, ...report });
    post();
  });
}

/** In Node.js: reads all streams with each client, and prints what came. */
async function inNode(folder, urls) {
  const { createRequire } = await import("node:module");
  globalThis.window = globalThis;
  globalThis.document = { addEventListener() {}, removeEventListener() {}, hidden: false };
  const load = createRequire(`${folder}/index.js`);
  const outside = load("eventsource").EventSource;
  const own = load("undici").EventSource;
  const { fetchEventSource } = load("@microsoft/fetch-event-source");
  for (const [way, url] of Object.entries(urls)) {
    const to = (client) => (report) => console.log(JSON.stringify({ client, way, ...report }));
    read((address) => new outside(address), url, to("eventsource"));
    read((address) => new own(address), url, to("undici"));
    fetchOn(fetchEventSource, url, to("fetch-event-source"));
  }
}

if (globalThis.process) {
  const [folder, urls] = process.argv.slice(2);
  inNode(folder, JSON.parse(urls));
}
