import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { readImage, writeImage } from '../../src/controlplane/compiler/image-file.ts'

let folder = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-image-'))
})

afterEach(async () => {
  await rm(folder, { recursive: true })
})

function imageOf(...octets: number[]): SharedArrayBuffer {
  const image = new SharedArrayBuffer(octets.length)
  new Uint8Array(image).set(octets)
  return image
}

test('an image is read back as written, and nothing else is left in the folder', async () => {
  const file = join(folder, 'lists.n3')
  await writeImage(file, imageOf(1, 2, 3))
  await writeImage(file, imageOf(4, 5))
  expect([...new Uint8Array(await readImage(file))]).toEqual([4, 5])
  expect(await readdir(folder)).toEqual(['lists.n3'])
})

test('a folder that is not there is named in the error, and so is a missing image', async () => {
  const file = join(folder, 'none', 'lists.n3')
  await expect(writeImage(file, imageOf(1))).rejects.toMatchObject({ code: 'ERR_WRITE', file })
  await expect(readImage(file)).rejects.toMatchObject({ code: 'ERR_IMAGE', file })
})

test('a folder in the place of the image leaves no temporary file', async () => {
  await expect(writeImage(folder, imageOf(1))).rejects.toMatchObject({
    code: 'ERR_WRITE',
    message: expect.stringContaining('it is a directory'),
  })
  expect((await readdir(join(folder, '..'))).filter((name) => name.includes('.tmp'))).toEqual([])
})
