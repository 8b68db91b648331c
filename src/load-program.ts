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
import { crc32 } from 'node:zlib'

// An engine that is left alone collects garbage at once, in thousands of small steps, each a turn
// of Node's loop: half of the CPU at 2,000 queries a second. It collects as well when it is due.
// Here, because code is only taken under the flags that it was made under.
setFlagsFromString('--no-memory-reducer')

const SEAL_OCTETS = 4

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
  } catch (error) {
    try {
      // Some installers put it where only koffi finds it.
      return createRequire(requireOutside.resolve('koffi'))(id)
    } catch {
      return createBroken(error)
    }
  }
}

/** koffi says of an error that it was bundled badly; of the version that it asks for, nothing. */
function createBroken(error: unknown): { readonly version: never } {
  return {
    get version(): never {
      throw error
    },
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
  const octets = sealed.length - SEAL_OCTETS
  if (octets < 0) return undefined
  const code = sealed.subarray(0, octets)
  return sealed.readUInt32LE(octets) === crc32(code) ? code : undefined
}

/** Adds to recorded code the checksum that `readCode` knows it by. */
export function sealCode(code: Uint8Array): Buffer {
  const seal = Buffer.alloc(SEAL_OCTETS)
  seal.writeUInt32LE(crc32(code))
  return Buffer.concat([code, seal])
}

/** A name for this very executable: version, platform, processor, and how it was built. */
function nodeBuild(): string {
  const { version, platform, arch, versions, config } = process
  const built = crc32(JSON.stringify([versions, config]))
    .toString(16)
    .padStart(8, '0')
  return `${version}-${platform}-${arch}-${built}`
}
