/**
 * The format of a compiled blocklist image: one buffer, little-endian, written once and then only
 * read.
 *
 *     0   8  magic
 *     8   4  format version
 *     12  4  octets of the whole image
 *     16  4  number of sections
 *     20  4  reserved, 0
 *     24 32  SHA-256 over every other octet of the image: its digest
 *     56  -  section table: 16 octets each (id, offset, octets, reserved 0), then the sections
 *
 * Every section starts at a multiple of `SECTION_ALIGN`; the octets between sections are 0. Nothing
 * in an image depends on when or where it was made: the same rules give the same octets.
 */

/** `N3TRIE`, then CR LF so that a transfer in text mode breaks the magic. */
export const MAGIC: readonly number[] = [0x4e, 0x33, 0x54, 0x52, 0x49, 0x45, 0x0d, 0x0a]

/** Raised whenever an older reader would read a newer image wrongly. */
export const FORMAT_VERSION = 1

export const OFFSET_VERSION = 8
export const OFFSET_OCTETS = 12
export const OFFSET_SECTION_COUNT = 16
export const OFFSET_DIGEST = 24
export const DIGEST_OCTETS = 32
export const HEADER_OCTETS = 56

export const SECTION_ENTRY_OCTETS = 16
/** Sections a reader accepts at most; bounds the walk over the table. */
export const SECTIONS_MAX = 32
/** One cache line. */
export const SECTION_ALIGN = 64

/** Octets an image may take: offsets stay below 2^31, so that every index is a small integer. */
export const IMAGE_OCTETS_MAX = 0x7fff_ffff

/** Octets of a whole name on the wire, the root octet included (RFC 1035 2.3.4). */
export const NAME_OCTETS_MAX = 255
/** Labels of a name, the root not counted: 127 labels of one octet each, and the root octet. */
export const LABELS_MAX = 127
/** Category bits are kept in a signed 32-bit integer without its sign. */
export const CATEGORIES_MAX = 31
/** Lists that one image may hold. */
export const LISTS_MAX = 4096
/**
 * Distinct verdicts (categories and winning lists of a name and of those below it) of one image.
 */
export const VERDICTS_MAX = 65_535

export const SECTION_META = 1
export const SECTION_VERDICTS = 2
export const SECTION_OPENINGS = 3
export const SECTION_BLOCK_STARTS = 4
export const SECTION_BLOCKS = 5

/** Names per front-coded block. */
export const BLOCK_NAMES = 16
