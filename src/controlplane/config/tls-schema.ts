/** The keys of the group `tls`: encrypted listeners and upstreams. */

import * as z from 'zod'
import { parseHostName } from './addresses.ts'
import { parsedText } from './schema-values.ts'

/** Paths are relative to the file that names them. */
export const TlsConfig = z.strictObject({
  certificateFile: z
    .string()
    .min(1)
    .optional()
    .meta({
      description:
        'PEM certificate of the `tls://` and `https://` listeners, followed by those that lead to its ' +
        'authority. Read again when the file changes; one that cannot be used leaves the old one in ' +
        'force. Clients that find us by DDR check it for the address that they have (RFC 9462 4.2): ' +
        'it needs that address as a subject alternative name, unless the address is private.',
    }),
  keyFile: z.string().min(1).optional().meta({
    description: 'PEM key of the certificate, without a password.',
  }),
  serverName: parsedText(parseHostName)
    .optional()
    .meta({
      description:
        'Our name in the certificate. With it and an encrypted listener, `_dns.resolver.arpa` (DDR, ' +
        'RFC 9462) tells clients that they may come by DNS over TLS or HTTPS; without it they are ' +
        'told nothing.',
    }),
  caFile: z
    .string()
    .min(1)
    .optional()
    .meta({
      description:
        'PEM certificates of the authorities that certificates of `tls://` and `https://` upstreams ' +
        'must lead to, instead of the public ones; for a resolver of your own.',
    }),
})
