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

const WORD_OCTETS = 4
const SEAL_OCTETS = 2 * WORD_OCTETS
/** Odd, so that no word is lost from the sum. */
const SUM_STEP = 0x01000193

const PARTS = join(import.meta.dirname, 'parts')
/** The engine does not look whether code was made by another build or for another processor. */
const CODE = join(import.meta.dirname, 'code', nodeBuild())
/** What Node puts around a CommonJS module. */
const HEAD = '(function (exports, require, module, __filename, __dirname) { '
const TAIL = '\n})'

/** koffi is one of the parts; its native files are packages of their own. */
const NATIVE_SCOPE = '@koromix/'

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
  if (id.startsWith('./')) return loadPart(id.slice(2))
  if (!id.startsWith(NATIVE_SCOPE)) return requireOutside(id)
  try {
    return requireOutside(id)
  } catch {
    // Some installers put it where only koffi finds it.
    return createRequire(requireOutside.resolve('koffi'))(id)
  }
}

/** Undefined where there is no code, or not whole: the engine would run it all the same. */
function readCode(file: string): Buffer | undefined {
  let sealed: Buffer
  try {
    sealed = readFileSync(file)
  } catch {
    return undefined
  }
  const end = sealed.length - SEAL_OCTETS
  if (end < 0 || end % WORD_OCTETS !== 0) return undefined
  const octets = sealed.readUInt32LE(end)
  const isWhole = octets <= end && sealed.readInt32LE(end + WORD_OCTETS) === sumOf(sealed, end)
  return isWhole ? sealed.subarray(0, octets) : undefined
}

/** Adds to recorded code what `readCode` knows it by: padding, its octets, a sum of all before. */
export function sealCode(code: Uint8Array): Buffer {
  const end = Math.ceil(code.length / WORD_OCTETS) * WORD_OCTETS
  const sealed = Buffer.alloc(end + SEAL_OCTETS)
  sealed.set(code)
  sealed.writeUInt32LE(code.length, end)
  sealed.writeInt32LE(sumOf(sealed, end), end + WORD_OCTETS)
  return sealed
}

/** A sum in which the place of each word counts; `end` is a multiple of a word. */
function sumOf(octets: Uint8Array, end: number): number {
  const isAligned = octets.byteOffset % WORD_OCTETS === 0
  const { buffer, byteOffset } = isAligned ? octets : octets.slice(0, end)
  const words = new Int32Array(buffer, byteOffset, end / WORD_OCTETS)
  let sum = words.length
  for (let i = 0; i < words.length; i++) sum = (Math.imul(sum, SUM_STEP) + words[i]!) | 0
  return sum
}

/** A name for this very executable: version, platform, processor, and how it was built. */
function nodeBuild(): string {
  const { version, platform, arch, versions, config } = process
  const built = sealCode(Buffer.from(JSON.stringify([versions, config])))
  return `${version}-${platform}-${arch}-${built.subarray(-WORD_OCTETS).toString('hex')}`
}
