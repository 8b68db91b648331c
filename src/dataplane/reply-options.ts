/**
 * Which options a reply's OPT carries because the client asked by options of its own: keepalive
 * (RFC 7828) and padding (RFC 7830). Called for queries that have such an option, and no others.
 */
import { REPLY_KEEPALIVE, REPLY_PADDING } from '../wire/opt.ts'
import { ASKED_KEEPALIVE, ASKED_PADDING, type ParsedQuery } from '../wire/query.ts'
import { PROTO_TCP, PROTO_UDP } from './counters.ts'

const TENTH_MS = 100
const TENTHS_MAX = 0xffff

/**
 * Sets `replyOptions` and their values.
 *
 * @param idleMs how long a connection stays open with no query under way: what the client is told.
 */
export function setReplyOptions(query: ParsedQuery, proto: number, idleMs: number): void {
  const asked = query.askedOptions
  if (proto === PROTO_UDP) return
  if ((asked & ASKED_KEEPALIVE) !== 0) {
    query.replyOptions |= REPLY_KEEPALIVE
    query.keepaliveTenths = Math.min(TENTHS_MAX, Math.floor(idleMs / TENTH_MS))
  }
  // In clear text padding would only make attacks by reflection larger (RFC 7830 6).
  if (proto > PROTO_TCP && (asked & ASKED_PADDING) !== 0) query.replyOptions |= REPLY_PADDING
}
