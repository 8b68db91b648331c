/** The benchmark's own C programs, compiled when they are needed. */
import { access, mkdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { run } from './children.ts'

/** Compiling one small file takes at most this long. */
const COMPILE_MS_MAX = 60_000

const SOURCES = resolve('bench/peers/native')
const OUTPUT = resolve('dist-bench/native')

type NativeName = 'responder' | 'open-loop'

const compiled = new Map<NativeName, Promise<string>>()

/** Returns the path of a C program of ours, compiled by this run; rejects without a compiler. */
export function native(name: NativeName): Promise<string> {
  const known = compiled.get(name)
  if (known !== undefined) return known
  const path = compile(name)
  compiled.set(name, path)
  return path
}

/** True when there is a C compiler. */
export async function hasCompiler(): Promise<boolean> {
  return run('gcc', ['--version'], COMPILE_MS_MAX).then(
    () => true,
    () => false,
  )
}

async function compile(name: NativeName): Promise<string> {
  await mkdir(OUTPUT, { recursive: true })
  const path = resolve(OUTPUT, name)
  const warnings = ['-Wall', '-Wextra', '-Werror']
  try {
    const source = resolve(SOURCES, `${name}.c`)
    await run('gcc', ['-O2', ...warnings, '-o', path, source, '-pthread', '-lm'], COMPILE_MS_MAX)
    await access(path)
  } catch (cause) {
    throw new Error(`${name}.c needs gcc: ${String(cause)}`, { cause })
  }
  return path
}
