/** Why a query gets SERVFAIL or a stale answer, as extended errors (RFC 8914 4). */
import {
  EDE_CACHED_ERROR,
  EDE_NETWORK_ERROR,
  EDE_NOT_READY,
  EDE_NO_REACHABLE_AUTHORITY,
  EDE_STALE_ANSWER,
  EDE_STALE_NXDOMAIN,
} from '../wire/codes.ts'
import { NO_TEXT, type ExtendedError } from '../wire/opt.ts'

/** No upstream is configured, or none answered in time. */
export const UNREACHABLE: ExtendedError = { code: EDE_NO_REACHABLE_AUTHORITY, text: NO_TEXT }
/** Too many questions wait already. */
export const OVERLOADED: ExtendedError = { code: EDE_NETWORK_ERROR, text: NO_TEXT }
/** The server is stopping and asks nothing new. */
export const STOPPING: ExtendedError = { code: EDE_NOT_READY, text: NO_TEXT }
/** The question failed a moment ago and is not asked again yet. */
export const FAILED_BEFORE: ExtendedError = { code: EDE_CACHED_ERROR, text: NO_TEXT }
/** The answer's time is over, and no upstream gave a fresh one. */
export const STALE: ExtendedError = { code: EDE_STALE_ANSWER, text: NO_TEXT }
export const STALE_NXDOMAIN: ExtendedError = { code: EDE_STALE_NXDOMAIN, text: NO_TEXT }
