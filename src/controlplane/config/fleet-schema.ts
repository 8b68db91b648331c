/** The group `fleet` of niveau3.yaml: images that another machine has built and signed. */
import { z } from 'zod'
import { DAY_S, KiB, MiB } from '../../base/units.ts'
import { parseSigningKey } from '../blocklist/download/verify-signature.ts'
import { octets, whole } from './schema-values.ts'

/** Value of `fleet.source` for what lies in the shared cache. */
export const SOURCE_REDIS = 'redis'

export const FleetConfig = z
  .strictObject({
    source: z
      .string()
      .refine(
        isSource,
        'is neither "redis" nor the URL of a manifest, such as https://HOST/niveau3-image.json',
      )
      .optional()
      .meta({
        description:
          'Where this box takes its image from, instead of building one: `redis` (the shared cache) or ' +
          'the URL of the manifest that `niveau3 fleet publish` wrote. Left out: it builds its own.',
      }),
    publicKey: z
      .string()
      .refine((text) => parseSigningKey(text) !== undefined, 'is no Ed25519 public key in base64')
      .optional()
      .meta({
        description:
          'Public key of whoever builds, as `niveau3 fleet keygen` prints it. Nothing else is believed.',
      }),
    pollSeconds: whole(10, DAY_S, 300).meta({
      description:
        'Between two looks for a newer image, stretched by chance by up to a tenth. With `redis` an ' +
        'announcement of another box leads to a look within seconds.',
    }),
    octetsMax: octets(64 * KiB, 255 * MiB, '128MiB').meta({
      description: 'Largest image that is taken; five million names have 30 MiB.',
    }),
    shareRules: z
      .boolean()
      .default(true)
      .meta({
        description:
          'Whether rules and pauses are those of all boxes that share `redis` and its secret. Without ' +
          'redis.url, or a stateDirectory, they are this box’s own.',
      }),
  })
  .prefault({})
  .meta({ description: 'What many boxes have in common: signed images, rules, pauses.' })

function isSource(text: string): boolean {
  if (text === SOURCE_REDIS) return true
  if (!URL.canParse(text)) return false
  const { protocol } = new URL(text)
  return protocol === 'https:' || protocol === 'http:'
}
