// Runs the program. What it writes goes to the server at once and in order, by requests that
// are waited for.
'use strict';
importScripts('/wasm_exec.js');

const post = (url, body) => {
  const request = new XMLHttpRequest();
  request.open('POST', url, false);
  request.send(body);
};
globalThis.fs.writeSync = (_, bytes) => {
  post('/output', bytes.slice());
  return bytes.length;
};
globalThis.fs.write = (fd, bytes, offset, length, position, done) => done(null, globalThis.fs.writeSync(fd, bytes.subarray(offset, offset + length)));

(async () => {
  const go = new Go();
  try {
    go.argv = await (await fetch('/args')).json();
    let code = 0;
    go.exit = (c) => { code = c; };
    const { instance } = await WebAssembly.instantiateStreaming(fetch('/program.wasm'), go.importObject);
    post('/begun');
    await go.run(instance);
    post(`/exit?code=${code}`);
  } catch (error) {
    post('/output', `${error.stack ?? error}\n`);
    post('/exit?code=2');
  }
})();
