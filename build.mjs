/**
 * The program as few files: Node.js finds, reads and links each module by itself, which took more
 * than half of the time from start to the first answer. Types are checked by `npm run check`.
 */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { build } from 'rolldown'
import { recordCode } from './record-code.mjs'

/**
 * What a process or a thread starts with, and what a test takes hold of inside one; each set shares
 * its parts and leaves out the others'.
 */
const STARTS = [
  {
    bin: 'src/bin.ts',
    generate: 'src/controlplane/config/generate.ts',
    'operation-process': 'src/controlplane/operations/operation-process.ts',
    'subscription-keeper': 'src/controlplane/generations/subscription-keeper.ts',
  },
  { worker: 'src/dataplane/worker-thread.ts', pipeline: 'src/dataplane/pipeline.ts' },
  { 'compile-worker': 'src/controlplane/compiler/compile-worker.ts' },
]
/**
 * What a worker runs stands in one part: a call into another part goes through a getter of that
 * part's `exports`, which costs a query more than some of its steps. The entry itself stays outside:
 * who loads `pipeline` for a test must not start a worker.
 */
const TOGETHER = [{ name: 'dataplane', test: /src\/dataplane\/worker\.ts$/ }]
/** The file that the system runs, and what it runs it with: flags are a matter of the first line. */
const EXECUTABLE = 'bin'
const FIRST_LINE = '#!/usr/bin/env -S node --max-semi-space-size=2\n'

const COMMON = {
  platform: 'node',
  // The native files of koffi, which chooses one of them by `require`: its other form makes one of
  // its own, that would not look where src/load-program.ts does.
  external: [/^@koromix\//],
  resolve: { alias: { koffi: createRequire(import.meta.url).resolve('koffi') } },
}
const OUTPUT = {
  format: 'cjs',
  sourcemap: true,
  // Parts are loaded by `require` alone: see src/load-program.ts.
  dynamicImportInCjs: false,
  // Names stay: a stack trace is read by people.
  minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
}

rmSync('dist', { recursive: true, force: true })
mkdirSync('dist')
writeFileSync('dist/package.json', '{ "type": "commonjs" }\n')
await build({
  ...COMMON,
  input: { 'load-program': 'src/load-program.ts' },
  output: { ...OUTPUT, dir: 'dist', entryFileNames: '[name].js' },
})
for (const input of STARTS) {
  const { output } = await build({
    ...COMMON,
    input,
    output: {
      ...OUTPUT,
      dir: 'dist/parts',
      entryFileNames: '[name]-[hash].js',
      chunkFileNames: '[name]-[hash].js',
      codeSplitting: { groups: TOGETHER },
    },
  })
  for (const { type, isEntry, name, fileName } of output) {
    if (type !== 'chunk' || !isEntry) continue
    const start = `module.exports = require('./load-program.js').loadPart('${fileName}')\n`
    writeFileSync(`dist/${name}.js`, name === EXECUTABLE ? FIRST_LINE + start : start)
  }
}
chmodSync(`dist/${EXECUTABLE}.js`, 0o755)
await recordCode(process.execPath, 'dist')
