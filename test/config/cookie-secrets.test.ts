import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { OperationalError } from '../../src/base/errors.ts'
import { addCookieSecrets } from '../../src/controlplane/cookie-secrets.ts'
import { folder, load } from './loading.ts'

const NEWEST = '00112233445566778899aabbccddeeff'
const OLDER = 'FFEEDDCCBBAA99887766554433221100'

async function cookiesOf(text: string) {
  return (await addCookieSecrets(load(text))).dataplane.cookies
}

/** What a file of secrets is refused with, without the folder. */
async function refusalOf(content: string): Promise<string> {
  writeFileSync(join(folder, 'secrets'), content)
  try {
    await cookiesOf('edns: {cookies: true, cookieSecretFile: secrets}')
  } catch (error) {
    if (error instanceof OperationalError) return error.message.replaceAll(`${folder}/`, '')
    throw error
  }
  throw new Error('the secrets were taken')
}

describe('server cookies', () => {
  test('are off unless they are asked for', async () => {
    expect(await cookiesOf('')).toBeUndefined()
    expect(await cookiesOf('edns: {cookieSecretFile: secrets}')).toBeUndefined()
  })

  test('take the secrets of a file, the first one first', async () => {
    writeFileSync(join(folder, 'secrets'), `# newest first\n${NEWEST}\n\n${OLDER}\n`)
    const cookies = await cookiesOf('edns: {cookies: true, cookieSecretFile: secrets}')
    expect(cookies?.secrets).toEqual([Buffer.from(NEWEST, 'hex'), Buffer.from(OLDER, 'hex')])
  })

  test.each([
    {
      what: 'nothing',
      content: '# none\n',
      message: /^secrets holds 0 secrets; write 1 to 4 lines/,
    },
    { what: 'five', content: `${NEWEST}\n`.repeat(5), message: /^secrets holds 5 secrets/ },
    { what: 'a short one', content: `${NEWEST}\nabcd\n`, message: /^secrets:2: .* 32 hexadecimal/ },
    { what: 'words', content: 'a secret that is thirty-two long\n', message: /^secrets:1: / },
  ])('refuse a file of $what', async ({ content, message }) => {
    const refusal = await refusalOf(content)
    expect(refusal).toMatch(message)
    expect(refusal).not.toContain(NEWEST)
  })

  test('keep a seed of their own, which only this user reads, over restarts', async () => {
    const text = 'edns: {cookies: true}\nstateDirectory: state'
    const first = await cookiesOf(text)
    expect(first?.seed).toHaveLength(16)
    expect(await cookiesOf(text)).toEqual(first)
    const file = join(folder, 'state/cookie-seed')
    expect(readFileSync(file, 'latin1').trim()).toBe(Buffer.from(first!.seed).toString('hex'))
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  test('keep it as long as the process without a state directory', async () => {
    const first = await cookiesOf('edns: {cookies: true}')
    expect(first?.seed).toHaveLength(16)
    expect(await cookiesOf('edns: {cookies: true}')).toEqual(first)
  })
})
