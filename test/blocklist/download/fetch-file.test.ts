import { conforms } from '../../conformance/conforms.ts'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  fetchFile,
  type FetchOptions,
} from '../../../src/controlplane/blocklist/download/fetch-file.ts'
import { isPublicAddress } from '../../../src/controlplane/blocklist/download/public-address.ts'
import { KiB, MiB } from '../../../src/base/units.ts'
import { startListServer, type ListServer } from './list-server.ts'
import { SELF_SIGNED } from './self-signed.ts'

const OPTIONS: FetchOptions = {
  limits: { octetsMax: MiB, secondsMax: 20, redirectsMax: 3 },
  allowPrivate: false,
  asStored: false,
  environment: {},
}

let server: ListServer
let folder: string

beforeAll(async () => {
  server = await startListServer()
  folder = await mkdtemp(join(tmpdir(), 'niveau3-fetch-'))
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

const target = (): string => join(folder, 'list')
const fetched = (path: string, options: Partial<FetchOptions> = {}) =>
  fetchFile(`${server.origin}${path}`, target(), { ...OPTIONS, ...options })

/** The message of a fetch that fails with ERR_DOWNLOAD and leaves no file. */
async function failure(path: string, options: Partial<FetchOptions> = {}): Promise<string> {
  const error = await fetched(path, options).then(
    () => expect.unreachable('the fetch went well'),
    (cause: unknown) => cause,
  )
  expect(error).toMatchObject({ code: 'ERR_DOWNLOAD' })
  expect(await readdir(folder)).toEqual([])
  return error instanceof Error ? error.message : ''
}

describe('a list that is there', () => {
  test('is written with its validators; asked again it is not modified', async () => {
    server.serve('/list', 'a.example\n')
    const first = await fetched('/list')
    if (first.kind !== 'fetched') throw new Error('not fetched')
    expect(await readFile(target(), 'utf8')).toBe('a.example\n')
    expect(first.octets).toBe(10)
    expect(first.validators.etag).toMatch(/^"10-/)
    await rm(target())
    expect(await fetched('/list', { validators: first.validators })).toEqual({ kind: 'unchanged' })
    expect(await readdir(folder)).toEqual([])
    server.serve('/list', 'b.example\n')
    const changed = await fetched('/list', { validators: first.validators })
    expect(changed.kind).toBe('fetched')
    await rm(target())
  })

  test('may come as gzip, but not where its digest is known', async () => {
    const octets = gzipSync('a.example\n')
    server.serve('/gzip', (request, response) => {
      response.setHeader('x-asked', String(request.headers['accept-encoding']))
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(octets)
    })
    await fetched('/gzip')
    expect(await readFile(target())).toEqual(octets)
    await rm(target())
    expect(await failure('/gzip', { asStored: true })).toContain('encoded as gzip')
    expect(server.requests.at(-1)?.headers['accept-encoding']).toBe('identity')
  })

  test('is found behind redirects to the same server, as many as are allowed', async () => {
    server.serve('/list', 'a.example\n')
    for (const hop of [1, 2, 3, 4]) {
      server.serve(`/hop${hop}`, (_request, response) =>
        response.writeHead(302, { location: hop === 1 ? '/list' : `/hop${hop - 1}` }).end(),
      )
    }
    expect((await fetched('/hop3')).kind).toBe('fetched')
    await rm(target())
    expect(await failure('/hop4')).toContain('more than 3 redirects')
  })
})

describe('a server that fails', () => {
  test.each([404, 410, 403, 429, 500, 503, 204, 206])('answers %i', async (status) => {
    server.serve('/status', (_request, response) => response.writeHead(status).end())
    expect(await failure('/status')).toContain(`the server answers ${status}`)
  })

  test('answers 200 with nothing', async () => {
    server.serve('/empty', (_request, response) => response.writeHead(200).end())
    expect(await failure('/empty')).toContain('nothing in it')
  })

  test('cuts the list short, announced or in chunks', async () => {
    server.serve('/short', (_request, response) => {
      response.writeHead(200, { 'content-length': 1000 })
      response.write('a.example\n', () => response.destroy())
    })
    expect(await failure('/short')).toMatch(/cut/)
    server.serve('/chunks', (_request, response) => {
      response.writeHead(200)
      response.write('a.example\n', () => response.destroy())
    })
    expect(await failure('/chunks')).toMatch(/cut/)
  })

  test('sends without end, or announces too much', async () => {
    server.serve('/endless', (_request, response) => {
      response.writeHead(200)
      const octets = Buffer.alloc(64 * KiB, 'a.example\n')
      const more = (): void => void (response.destroyed || response.write(octets, more))
      more()
    })
    expect(await failure('/endless')).toContain('larger than 1048576 octets')
    server.serve('/announced', (_request, response) => {
      response.writeHead(200, { 'content-length': 2 * MiB }).write('a')
    })
    expect(await failure('/announced')).toContain('larger than 1048576 octets')
  })

  test('never comes to an end, or never answers', async () => {
    const limits = { ...OPTIONS.limits, secondsMax: 1 }
    server.serve('/drops', (_request, response) => {
      response.writeHead(200)
      const timer = setInterval(() => response.write('a'), 100)
      response.on('close', () => clearInterval(timer))
    })
    expect(await failure('/drops', { limits })).toContain('not complete after 1 s')
    server.serve('/silent', () => undefined)
    expect(await failure('/silent', { limits })).toContain('not complete after 1 s')
  })

  test('is not there', async () => {
    const gone = await startListServer()
    await gone[Symbol.asyncDispose]()
    const error = await fetchFile(`${gone.origin}/list`, target(), OPTIONS).catch(String)
    expect(error).toContain('nobody listens there')
  })

  test('has a certificate that nobody signed', async () => {
    await using secured = await startListServer(SELF_SIGNED)
    secured.serve('/list', 'a.example\n')
    const error = await fetchFile(`${secured.origin}/list`, target(), OPTIONS).catch(String)
    expect(error).toContain('its certificate is signed by itself')
    expect(secured.requests).toEqual([])
  })
})

describe('a redirect', () => {
  test.each([
    ['http://169.254.169.254/latest/meta-data', '169.254.169.254'],
    ['http://[::1]/list', '::1'],
    ['http://[::ffff:10.0.0.1]/list', '::ffff:'],
    ['http://localhost/list', 'localhost'],
    ['http://2130706433/list', '127.0.0.1'],
  ])('to %s is not followed', async (location, shown) => {
    server.serve('/away', (_request, response) => response.writeHead(302, { location }).end())
    const why = await failure('/away')
    expect(why).toContain(shown)
    expect(why).toContain('private or special address')
  })

  test('to another port of 127.0.0.1 is followed only when private addresses are allowed', async () => {
    conforms('ssrf')
    await using other = await startListServer()
    other.serve('/list', 'inside.example\n')
    const location = `${other.origin}/list`
    server.serve('/away', (_request, response) => response.writeHead(302, { location }).end())
    expect(await failure('/away')).toContain('private or special address')
    expect(other.requests).toEqual([])
    expect((await fetched('/away', { allowPrivate: true })).kind).toBe('fetched')
    await rm(target())
  })

  test('to another kind of place, or to nowhere, is not followed', async () => {
    const locations: readonly (string | undefined)[] = ['file:///etc/passwd', undefined]
    for (const location of locations) {
      server.serve('/away', (_request, response) =>
        response.writeHead(302, location === undefined ? {} : { location }).end(),
      )
      expect(await failure('/away')).toMatch(/which no list is fetched by|without saying where/)
    }
  })
})

test('a name that leads to this machine is refused by the address that it has', async () => {
  server.serve('/list', 'a.example\n')
  const url = `${server.origin.replace('127.0.0.1', 'localhost')}/list`
  const before = server.requests.length
  await expect(fetchFile(url, target(), OPTIONS)).rejects.toThrow(/localhost \(.*private/)
  expect(server.requests).toHaveLength(before)
  const allowed = await fetchFile(url, target(), { ...OPTIONS, allowPrivate: true })
  expect(allowed.kind).toBe('fetched')
  await rm(target())
})

test('a proxy of the environment is asked for the connection', async () => {
  server.serve('/list', 'a.example\n')
  const asked: string[] = []
  const proxy = createServer()
  proxy.on('connect', (request, socket, head) => {
    asked.push(request.url ?? '')
    const [, port] = (request.url ?? '').split(':')
    const onward = connect(Number(port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      onward.write(head)
      onward.pipe(socket).pipe(onward)
    })
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const address = proxy.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const environment = { http_proxy: `http://127.0.0.1:${port}` }
  const url = server.origin.replace('127.0.0.1', 'lists.example')
  const result = await fetchFile(`${url}/list`, target(), { ...OPTIONS, environment })
  expect(result.kind).toBe('fetched')
  expect(asked).toEqual([url.replace('http://', '')])
  await rm(target())
  proxy.closeAllConnections()
  proxy.close()
})

test('a fetch that is called off ends with the reason and leaves no file', async () => {
  const controller = new AbortController()
  server.serve('/begun', (_request, response) => {
    response.writeHead(200)
    response.write('a.example\n', () => controller.abort(new Error('called off')))
  })
  await expect(fetched('/begun', { signal: controller.signal })).rejects.toThrow('called off')
  expect(await readdir(folder)).toEqual([])
})

test.each([
  ['9.9.9.9', true],
  ['2620:fe::fe', true],
  ['10.0.0.1', false],
  ['100.64.0.1', false],
  ['127.0.0.1', false],
  ['169.254.169.254', false],
  ['172.16.0.1', false],
  ['192.168.1.1', false],
  ['0.0.0.0', false],
  ['224.0.0.1', false],
  ['255.255.255.255', false],
  ['::1', false],
  ['::', false],
  ['fe80::1', false],
  ['fd00::1', false],
  ['::ffff:10.0.0.1', false],
  ['::ffff:9.9.9.9', true],
  ['64:ff9b::a00:1', false],
  ['2002:a00:1::', false],
  ['fe80::1%eth0', false],
  ['no address', false],
])('%s is a public address: %s', (address, expected) => {
  expect(isPublicAddress(address)).toBe(expected)
})
