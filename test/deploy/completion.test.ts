import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../cli/in-process.ts'
import { runToEnd } from '../support/processes.ts'
import { program } from '../support/programs.ts'

let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-completion-'))
  await writeFile(join(folder, 'a list.txt'), '')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const startServer = () => Promise.reject(new Error('nothing is started'))

/** The words that each shell offers at the end of a line; its own programs read our script. */
const SHELLS: Readonly<Record<string, (words: readonly string[]) => Promise<string[]>>> = {
  bash: async (words) => {
    const array = words.map((word) => `'${word}'`).join(' ')
    return offered('bash', [
      ['--noprofile', '--norc'],
      `source ./script; COMP_WORDS=(${array}); COMP_CWORD=${words.length - 1}
       _niveau3 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ])
  },
  // The functions that show words to a person print them instead.
  zsh: async (words) => {
    const array = words.map((word) => `'${word}'`).join(' ')
    return offered(await program('zsh'), [
      ['-f'],
      `compdef() { :; }
       _describe() { print -l -- "\${(@P)argv[-1]%%:*}" }
       _files() { print -l -- *(.N) }
       _message() { : }
       source ./script; words=(${array}); CURRENT=${words.length}; PREFIX=$words[-1]; _niveau3`,
    ])
  },
  fish: async (words) => {
    const line = words.join(' ')
    const lines = await offered(await program('fish'), [
      ['--no-config'],
      `source ./script; complete -C '${line}'`,
    ])
    return lines.map((text) => text.split('\t')[0]!)
  },
}

async function offered(
  shell: string,
  [flags, script]: readonly [readonly string[], string],
): Promise<string[]> {
  const env = { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder }
  const { stdout, stderr, code } = await runToEnd(shell, [...flags, '-c', script], {
    cwd: folder,
    env,
  })
  expect(code, stderr).toBe(0)
  return stdout.split('\n').filter((line) => line !== '')
}

describe.each(Object.keys(SHELLS))('%s', (shell) => {
  const complete = async (...words: string[]): Promise<string[]> => SHELLS[shell]!(words)

  beforeAll(async () => {
    const { code, stdout } = await run(['completion', shell], { startServer })
    expect(code).toBe(0)
    await writeFile(join(folder, 'script'), stdout)
  })

  test('offers the commands, and those below a command', async () => {
    expect(await complete('niveau3', '')).toEqual(
      expect.arrayContaining(['serve', 'check', 'lists', 'config', 'completion']),
    )
    const below = await complete('niveau3', 'lists', '')
    expect(below).toEqual(expect.arrayContaining(['update', 'rollback', 'compile']))
    expect(below).not.toContain('serve')
  })

  test('offers the options of the command alone', async () => {
    const options = await complete('niveau3', 'lists', 'compile', '--')
    expect(options).toEqual(expect.arrayContaining(['--out', '--blocklist', '--json']))
    expect(options).not.toContain('--listen')
    expect(await complete('niveau3', 'serve', '--json', '--')).toContain('--listen')
  })

  test('offers what an argument may be, and files where a file is wanted', async () => {
    expect(
      (await complete('niveau3', 'completion', '')).filter((word) => !word.startsWith('-')),
    ).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']))
    const files = await complete('niveau3', 'serve', '--config', '')
    expect(files.map((file) => file.replaceAll('\\', ''))).toContain('a list.txt')
    expect(files).not.toContain('--json')
  })
})

test('the manual is the commands own, and has no fault to man and mandoc', async () => {
  const page = resolve(import.meta.dirname, '../../deploy/man/niveau3.1')
  const { stdout } = await run(['manpage'], { startServer })
  expect(await readFile(page, 'utf8')).toBe(stdout)
  const lint = await runToEnd(await program('mandoc'), ['-T', 'lint', '-W', 'warning', page])
  expect(lint.stdout + lint.stderr).toBe('')
  const shown = await runToEnd(await program('mandoc'), ['-T', 'ascii', page])
  const text = shown.stdout
    .split('\b')
    .map((part, index, all) => (index < all.length - 1 ? part.slice(0, -1) : part))
    .join('')
  expect(text).toContain('niveau3 lists compile')
  expect(text).toMatch(/--blocklist <category=file>/)
})

test('a shell that nobody knows is a usage error that names those that we know', async () => {
  const { code, stderr } = await run(['completion', 'csh'], { startServer })
  expect(code).toBe(2)
  expect(stderr).toMatch(/bash, zsh, fish/)
})
