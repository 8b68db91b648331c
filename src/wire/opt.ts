/**
 * The OPT record of our replies (RFC 6891 6.1): the one place that writes options, and that knows
 * how many octets they take.
 *
 * What a client asked by an option of its own stands in the query's `askedOptions`; the pipeline
 * answers by setting bits of `replyOptions`, and their values beside them. Without a bit nothing is
 * looked at: most queries carry no option.
 */
import { EDE_NONE, OPTION_COOKIE, OPTION_EDE, OPTION_KEEPALIVE, OPTION_PADDING } from './codes.ts'
import { TYPE_OPT } from './codes.ts'
import { OFFSET_ARCOUNT, readU16, writeU16 } from './header.ts'
import type { ParsedQuery } from './query.ts'

/** Bit of `replyOptions`: how long an idle connection stays open (RFC 7828), never over UDP. */
export const REPLY_KEEPALIVE = 1
/** Bit of `replyOptions`: the client's cookie, and ours behind it (RFC 7873). */
export const REPLY_COOKIE = 2
/** Bit of `replyOptions`: octets that hide the length (RFC 7830), on encrypted transports only. */
export const REPLY_PADDING = 4

/** A client cookie and a server cookie as RFC 9018 4 lays it out. */
export const REPLY_COOKIE_OCTETS = 24
/** Replies are padded to a multiple of this (RFC 8467 4.1). */
export const PADDING_BLOCK_OCTETS = 468

/** OPT with no options: root owner, type, size, extended TTL, RDLENGTH (RFC 6891 6.1.2). */
const OPT_OCTETS = 11
const OPTION_FIXED_OCTETS = 4
const EDE_FIXED_OCTETS = 6
const KEEPALIVE_OCTETS = 2
/** From the end of OPT's fixed part back to its RDLENGTH. */
const RDLENGTH_OCTETS = 2
const FLAG_DO = 0x8000

/** The extended error of the reply being written, so that calls stay short; one per worker. */
export interface ExtendedError {
  /** INFO-CODE (RFC 8914 4), or `EDE_NONE`. */
  code: number
  text: Uint8Array
}

/** No text behind an extended error. */
export const NO_TEXT = new Uint8Array(0)

/** Says that a reply carries no extended error. */
export const NO_EXTENDED_ERROR: ExtendedError = { code: EDE_NONE, text: NO_TEXT }

/** Returns the octets that OPT will take in the reply to `query`, its padding not counted. */
export function optOctets(query: ParsedQuery, error: ExtendedError): number {
  if (!query.hasEdns) return 0
  let octets = OPT_OCTETS
  if (error.code !== EDE_NONE) octets += EDE_FIXED_OCTETS + error.text.length
  if (query.replyOptions === 0) return octets
  if ((query.replyOptions & REPLY_KEEPALIVE) !== 0) octets += OPTION_FIXED_OCTETS + KEEPALIVE_OCTETS
  if ((query.replyOptions & REPLY_COOKIE) !== 0) octets += OPTION_FIXED_OCTETS + REPLY_COOKIE_OCTETS
  return octets
}

/**
 * Appends our own OPT when the client sent one (RFC 6891 6.1.1) and counts it; returns the new end.
 * Version 0, no option of the client's is echoed, DO is (RFC 3225 3).
 */
export function appendOpt(
  out: Uint8Array,
  end: number,
  query: ParsedQuery,
  rcode: number,
  error: ExtendedError,
  udpOctetsMax: number,
): number {
  if (!query.hasEdns) return end
  out[end] = 0
  writeU16(out, end + 1, TYPE_OPT)
  writeU16(out, end + 3, udpOctetsMax)
  out[end + 5] = rcode >>> 4
  out[end + 6] = 0
  writeU16(out, end + 7, query.dnssecOk ? FLAG_DO : 0)
  writeU16(out, OFFSET_ARCOUNT, readU16(out, OFFSET_ARCOUNT) + 1)
  const options = end + OPT_OCTETS
  let at = options
  if (error.code !== EDE_NONE) at = appendExtendedError(out, at, error)
  if (query.replyOptions !== 0) at = appendReplyOptions(out, at, query)
  writeU16(out, options - RDLENGTH_OCTETS, at - options)
  return at
}

function appendExtendedError(out: Uint8Array, at: number, error: ExtendedError): number {
  const textOctets = error.text.length
  writeOptionHead(out, at, OPTION_EDE, 2 + textOctets)
  writeU16(out, at + OPTION_FIXED_OCTETS, error.code)
  out.set(error.text, at + EDE_FIXED_OCTETS)
  return at + EDE_FIXED_OCTETS + textOctets
}

/** Padding comes last: it fills up what the others have made of the message. */
function appendReplyOptions(out: Uint8Array, start: number, query: ParsedQuery): number {
  const options = query.replyOptions
  let at = start
  if ((options & REPLY_KEEPALIVE) !== 0) {
    writeOptionHead(out, at, OPTION_KEEPALIVE, KEEPALIVE_OCTETS)
    writeU16(out, at + OPTION_FIXED_OCTETS, query.keepaliveTenths)
    at += OPTION_FIXED_OCTETS + KEEPALIVE_OCTETS
  }
  if ((options & REPLY_COOKIE) !== 0) {
    writeOptionHead(out, at, OPTION_COOKIE, REPLY_COOKIE_OCTETS)
    at += OPTION_FIXED_OCTETS
    for (let i = 0; i < REPLY_COOKIE_OCTETS; i++) out[at + i] = query.cookie[i]!
    at += REPLY_COOKIE_OCTETS
  }
  return (options & REPLY_PADDING) === 0 ? at : appendPadding(out, at, query.replyOctetsMax)
}

/** Zeros up to the next whole block, or as many as the client's size leaves room for. */
function appendPadding(out: Uint8Array, at: number, octetsMax: number): number {
  const start = at + OPTION_FIXED_OCTETS
  if (start > octetsMax) return at
  const blocks = Math.ceil(start / PADDING_BLOCK_OCTETS)
  const end = Math.min(blocks * PADDING_BLOCK_OCTETS, octetsMax)
  writeOptionHead(out, at, OPTION_PADDING, end - start)
  out.fill(0, start, end)
  return end
}

function writeOptionHead(out: Uint8Array, at: number, option: number, octets: number): void {
  writeU16(out, at, option)
  writeU16(out, at + 2, octets)
}
