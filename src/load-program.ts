/**
 * Reads the parts of the built program together with the code that the engine made of them when it
 * was built (`record-code.mjs`): a third of the time from start to the first answer went into
 * making it. What was made by another Node.js, or under other flags, is not taken, and the part is
 * compiled as ever.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { Script } from 'node:vm'

// An engine that is left alone collects garbage at once, in thousands of small steps, each a turn
// of Node's loop: half of the CPU at 2,000 queries a second. It collects as well when it is due.
// Here, because code is only taken under the flags that it was made under.
setFlagsFromString('--no-memory-reducer')

const PARTS = join(import.meta.dirname, 'parts')
/** The engine does not look whether code was made for another processor. */
const CODE = join(
  import.meta.dirname,
  'code',
  `${process.version}-${process.platform}-${process.arch}`,
)
/** What Node puts around a CommonJS module. */
const HEAD = '(function (exports, require, module, __filename, __dirname) { '
const TAIL = '\n})'

interface Part {
  exports: unknown
}

type Run = (
  exports: unknown,
  require: (id: string) => unknown,
  module: Part,
  filename: string,
  dirname: string,
) => void

declare global {
  /** Takes note of what was loaded, and where its code belongs; there while code is recorded. */
  var niveau3CodeRecorder: { note(script: Script, file: string): void } | undefined
}

const loaded = new Map<string, Part>()
const requireOutside = createRequire(join(PARTS, 'part.js'))

/** Runs a part, unless that was done, and returns what it exports. */
export function loadPart(file: string): unknown {
  const known = loaded.get(file)
  if (known !== undefined) return known.exports
  const filename = join(PARTS, file)
  const codeFile = join(CODE, `${file}.code`)
  const script = new Script(HEAD + readFileSync(filename, 'utf8') + TAIL, {
    filename,
    columnOffset: -HEAD.length,
    cachedData: readCode(codeFile),
  })
  globalThis.niveau3CodeRecorder?.note(script, codeFile)
  const part: Part = { exports: {} }
  loaded.set(file, part)
  try {
    const run: Run = script.runInThisContext()
    run(part.exports, requireFromPart, part, filename, PARTS)
  } catch (error) {
    loaded.delete(file)
    throw error
  }
  return part.exports
}

/** Parts name each other as files beside them, and everything else as Node does. */
function requireFromPart(id: string): unknown {
  return id.startsWith('./') ? loadPart(id.slice(2)) : requireOutside(id)
}

function readCode(file: string): Buffer | undefined {
  try {
    return readFileSync(file)
  } catch {
    return undefined
  }
}
