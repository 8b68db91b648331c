/**
 * Writes down what the engine has made of each part when a process ends, and when a thread says its
 * last word: it is terminated right behind it. Loaded before the program, into all of its threads.
 */
const { mkdirSync, writeFileSync } = require('node:fs')
const path = require('node:path')
const { parentPort } = require('node:worker_threads')

const noted = []
globalThis.niveau3CodeRecorder = { note: (script, file) => noted.push({ script, file }) }

function writeAll() {
  for (const { script, file } of noted) {
    mkdirSync(path.dirname(file), { recursive: true })
    const { sealCode } = require(path.resolve(file, '../../../load-program.js'))
    writeFileSync(file, sealCode(script.createCachedData()))
  }
}

if (parentPort === null) {
  process.on('exit', writeAll)
} else {
  const post = parentPort.postMessage.bind(parentPort)
  parentPort.postMessage = (message, ...rest) => {
    if (message.kind === 'stopped') writeAll()
    post(message, ...rest)
  }
}
