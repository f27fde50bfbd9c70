// The runtime itself: a Go program in WebAssembly, in this Worker.
import './wasm_exec.js';

let hosts = 0;
const modules = new Map(); // what was compiled, by URL

// compile fetches and compiles the program. It is shipped gzipped, so that any server
// will do; one that says so in Content-Encoding has the browser unpack it.
export function compile(url) {
  if (!modules.has(url)) {
    const compiled = load(url);
    compiled.catch(() => modules.delete(url));
    modules.set(url, compiled);
  }
  return modules.get(url);
}

async function load(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  const body = await response.arrayBuffer();
  const [first, second] = new Uint8Array(body, 0, Math.min(2, body.byteLength));
  if (first !== 0x1f || second !== 0x8b) return WebAssembly.compile(body);
  const unpacked = new Blob([body]).stream().pipeThrough(new DecompressionStream('gzip'));
  return WebAssembly.compileStreaming(new Response(unpacked, { headers: { 'Content-Type': 'application/wasm' } }));
}

// start runs the program and returns what it offers (wasm/bridge, Serve). send and
// credentials are what it asks of us; broken is called once when it has come to its
// end, which it never does by itself.
export async function start(url, { send, credentials, broken }) {
  const module = await compile(url);
  const go = new globalThis.Go();
  const key = `host${++hosts}`;
  return new Promise((resolve, reject) => {
    let runs = false;
    const failed = (why) => {
      if (runs) broken(why);
      reject(new Error(why));
    };
    const ready = (engine) => {
      runs = true;
      resolve(engine);
    };
    globalThis.mqttdbHosts ??= {};
    globalThis.mqttdbHosts[key] = { ready, send, credentials, broken: failed };
    go.argv = ['mqttdb', key];
    go.exit = (code) => failed(`the program ended with code ${code}: the console of the Worker says why`);
    WebAssembly.instantiate(module, go.importObject)
      .then((instance) => go.run(instance))
      .catch((error) => failed(String(error)));
  });
}
