/** A directory that any web server serves: the image under its digest, then the manifest. */

import { copyFile, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { syncFolder, unwritable } from '../generations/state-file.ts'
import { imageNameOf, MANIFEST_NAME } from './image-place.ts'
import type { ImageManifest } from './signed-image.ts'

/** Everybody may read it: it is signed, and web servers run as other users. */
const MODE = 0o644
const IMAGE_NAME = /^niveau3-image-[0-9a-f]{16}\.n3$/
/** Images that stay for boxes that have just read an older manifest. */
const IMAGES_KEPT = 3

/**
 * Publishes into a directory: at every moment its manifest names an image that is whole.
 *
 * @throws OperationalError ERR_WRITE.
 */
export async function publishToDirectory(
  directory: string,
  manifest: ImageManifest,
  signed: Buffer,
  imageFile: string,
): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o755 })
    const image = join(directory, imageNameOf(manifest))
    await copyFile(imageFile, `${image}.tmp`)
    await finish(`${image}.tmp`, image)
    const file = join(directory, MANIFEST_NAME)
    const handle = await open(`${file}.tmp`, 'w', MODE)
    try {
      await handle.writeFile(signed)
    } finally {
      await handle.close()
    }
    await finish(`${file}.tmp`, file)
    await syncFolder(directory)
    await sweep(directory, imageNameOf(manifest))
  } catch (cause) {
    throw unwritable(directory, cause)
  }
}

async function finish(temporary: string, file: string): Promise<void> {
  const handle = await open(temporary, 'r+')
  try {
    await handle.chmod(MODE)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, file)
}

async function sweep(directory: string, current: string): Promise<void> {
  const images = await Promise.all(
    (await readdir(directory))
      .filter((name) => IMAGE_NAME.test(name) && name !== current)
      .map(async (name) => ({ name, ms: (await stat(join(directory, name))).mtimeMs })),
  )
  const old = images.toSorted((a, b) => b.ms - a.ms).slice(IMAGES_KEPT - 1)
  for (const { name } of old) await rm(join(directory, name), { force: true })
}
