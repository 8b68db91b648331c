/** Why a query gets SERVFAIL, as extended errors (RFC 8914 4). */
import { EDE_NETWORK_ERROR, EDE_NOT_READY, EDE_NO_REACHABLE_AUTHORITY } from '../wire/codes.ts'
import { NO_TEXT, type ExtendedError } from '../wire/opt.ts'

/** No upstream is configured, or none answered in time. */
export const UNREACHABLE: ExtendedError = { code: EDE_NO_REACHABLE_AUTHORITY, text: NO_TEXT }
/** Too many questions wait already. */
export const OVERLOADED: ExtendedError = { code: EDE_NETWORK_ERROR, text: NO_TEXT }
/** The server is stopping and asks nothing new. */
export const STOPPING: ExtendedError = { code: EDE_NOT_READY, text: NO_TEXT }
