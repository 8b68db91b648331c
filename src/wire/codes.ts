/**
 * Numbers of the DNS protocol, named as IANA names them (registry "Domain Name System Parameters").
 */

export const OPCODE_QUERY = 0

export const RCODE_NOERROR = 0
export const RCODE_FORMERR = 1
export const RCODE_SERVFAIL = 2
export const RCODE_NXDOMAIN = 3
export const RCODE_NOTIMP = 4
export const RCODE_REFUSED = 5
export const RCODE_NOTAUTH = 9
/** Extended rcode: its upper eight bits travel in OPT (RFC 6891 6.1.3). */
export const RCODE_BADVERS = 16

export const TYPE_A = 1
export const TYPE_NS = 2
export const TYPE_CNAME = 5
export const TYPE_SOA = 6
export const TYPE_PTR = 12
export const TYPE_HINFO = 13
export const TYPE_MX = 15
export const TYPE_TXT = 16
export const TYPE_AAAA = 28
export const TYPE_SRV = 33
export const TYPE_DNAME = 39
export const TYPE_OPT = 41
export const TYPE_SVCB = 64
export const TYPE_HTTPS = 65
/**
 * From here to 255 a number is a question or meta type, never a record of a zone (RFC 6895 3.1).
 */
export const TYPE_META_FIRST = 128
export const TYPE_TSIG = 250
export const TYPE_ANY = 255

export const CLASS_IN = 1
export const CLASS_ANY = 255

/** EDNS options (registry "DNS EDNS0 Option Codes"). */
export const OPTION_COOKIE = 10
export const OPTION_KEEPALIVE = 11
export const OPTION_PADDING = 12
export const OPTION_EDE = 15

/** Extended DNS Errors (RFC 8914 4). */
export const EDE_NONE = -1
export const EDE_STALE_ANSWER = 3
export const EDE_CACHED_ERROR = 13
export const EDE_NOT_READY = 14
export const EDE_BLOCKED = 15
export const EDE_STALE_NXDOMAIN = 19
export const EDE_NO_REACHABLE_AUTHORITY = 22
export const EDE_NETWORK_ERROR = 23
