import { expect, test } from 'vitest'
import { run } from './in-process.ts'

const startServer = () => Promise.reject(new Error('examples are not run'))

/** Every command, by the words that lead to it. */
async function allCommands(path: readonly string[] = []): Promise<readonly (readonly string[])[]> {
  const help = await helpOf(path)
  const listed = /^Commands:\n([\s\S]*?)\n\n/m.exec(help)?.[1] ?? ''
  const names = [...listed.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name!)
  const below: (readonly string[])[] = []
  for (const name of names.filter((name) => name !== 'help')) {
    below.push(...(await allCommands([...path, name])))
  }
  return [path, ...below]
}

async function helpOf(path: readonly string[]): Promise<string> {
  const { code, stdout } = await run([...path, '--help'], { startServer })
  expect(code, path.join(' ')).toBe(0)
  return stdout
}

test('every command has a help text with examples that name its own options', async () => {
  const commands = await allCommands()
  expect(commands.map((path) => path.join(' '))).toEqual(
    expect.arrayContaining(['', 'serve', 'check', 'query', 'lists compile', 'config show']),
  )
  for (const path of commands) {
    const examples = [...(await helpOf(path)).matchAll(/^ {2}\$ (.*)$/gm)].map(([, line]) => line!)
    expect(examples.length, path.join(' ')).toBeGreaterThan(0)
    for (const example of examples) await expectKnown(example, commands)
  }
})

/** The command of an example exists, and so does each of its options. */
async function expectKnown(example: string, commands: readonly (readonly string[])[]) {
  const own = example.replace(/^(NIVEAU3_\w+=\S+ )+/, '').replace(/ [|<>] .*$/, '')
  const [program, ...words] = own.split(' ')
  expect(program, example).toBe('niveau3')
  const path = commands
    .filter((command) => command.every((word, index) => words[index] === word))
    .toSorted((a, b) => b.length - a.length)[0]!
  expect(path.length, example).toBeGreaterThan(0)
  const help = await helpOf(path)
  for (const option of words.filter((word) => word.startsWith('--'))) {
    expect(help, example).toContain(`${option} `)
  }
}
