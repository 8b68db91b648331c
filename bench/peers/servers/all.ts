/** Every server of the comparison, in the order of the table. */
import { bind } from './bind.ts'
import { dnsdist } from './dnsdist.ts'
import { dnsmasq } from './dnsmasq.ts'
import { echo } from './echo.ts'
import { knotResolver } from './knot-resolver.ts'
import { niveau3 } from './niveau3.ts'
import { recursor } from './recursor.ts'
import type { Server } from './server.ts'
import { smartdns } from './smartdns.ts'
import { unbound } from './unbound.ts'

/** All servers. */
export const SERVERS: readonly Server[] = [
  echo,
  niveau3,
  unbound,
  recursor,
  dnsdist,
  dnsmasq,
  knotResolver,
  bind,
  smartdns,
]
