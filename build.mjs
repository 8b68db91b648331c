/**
 * The program as few files: Node.js finds, reads and links each module by itself, which took more
 * than half of the time from start to the first answer. Types are checked by `npm run check`.
 */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { build } from 'rolldown'

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
  { worker: 'src/dataplane/worker.ts', pipeline: 'src/dataplane/pipeline.ts' },
  { 'compile-worker': 'src/controlplane/compiler/compile-worker.ts' },
]

rmSync('dist', { recursive: true, force: true })
mkdirSync('dist')
writeFileSync('dist/package.json', '{ "type": "commonjs" }\n')
await build(
  STARTS.map((input) => ({
    input,
    platform: 'node',
    // It chooses a native file beside itself.
    external: ['koffi'],
    output: {
      dir: 'dist',
      format: 'cjs',
      entryFileNames: '[name].js',
      chunkFileNames: 'parts/[name]-[hash].js',
      sourcemap: true,
      // Names stay: a stack trace is read by people.
      minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
    },
  })),
)
// npm makes it runnable where it installs it; npx in a checkout runs it as it is.
chmodSync('dist/bin.js', 0o755)
