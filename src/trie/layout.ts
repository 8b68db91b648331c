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
 *
 * How a name is stored. Its longest suffix in the suffix dictionary (`com`, `blogspot.com`) is one
 * symbol; the labels in front of it follow from the right, each written forwards, symbol by symbol,
 * in prefix codes that depend on the symbols before (the code model). The name becomes a string of
 * some 40 bits, and names that share a suffix share the first bits. The strings are sorted and cut
 * into blocks of 32 names; the first 32 bits of each block's first name are its head: what the head
 * says, the names of the block need not repeat. A lookup codes the asked name in the same way and
 * gives up as soon as no stored name starts with the bits so far.
 *
 * In front of all that stands the door, a Bloom filter over the dictionary node and the first label
 * of each name (door.ts): it turns most names that are not listed away by one read.
 *
 * What a lookup of a name that is not listed reads is kept together and small, for the caches:
 * heads, and fingers, two octets a name. They are the lower 16 bits of the distance between the
 * name's first 32 bits and the head: the lowest 8 mixed with a hash of the bits above, the next 8
 * mixed with a hash of the bits above and of the rest of the code. So the first finger tells
 * whether any name begins with these 32 bits, both together whether it may be this very name, and
 * names that are alike have different ones. A block's fingers are one cache line: the first of each
 * name, then the second of each. The rest of a block is a record in a string of bits (the first bit
 * is the highest of the first word):
 *
 *     count 6, others 1, shift 5, shortest 10, span 10
 *     count * shift bits  the bits of each distance above its fingers
 *     count + span bits   code lengths, ascending, as a walk: 1 a name, 0 one bit longer
 *     count bits          when `others` is set: 1 a name, set when its value is not value 0
 *     ...                 the values of these names, less 1
 *     ...                 tails, name by name: the code from the next word on
 *
 * The names of a block stand in the order of their code lengths. A record with count 0 stands for
 * all names whose bits equal its head: two words behind give the first block and the number of
 * blocks that hold them, ordered by the next 32 bits. A name whose code is too long, or that has
 * octets outside the model's alphabet, stands as it is in the section of plain names.
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

/** Offsets, those of bits too, stay below 2^31, so that every index is a small integer. */
export const IMAGE_OCTETS_MAX = 0x0fff_ffff

/** Octets of a whole name on the wire, the root octet included (RFC 1035 2.3.4). */
export const NAME_OCTETS_MAX = 255
/** Labels of a name, the root not counted: 127 labels of one octet each, and the root octet. */
export const LABELS_MAX = 127
/** Category bits are kept in a signed 32-bit integer without its sign. */
export const CATEGORIES_MAX = 31
/** Lists that one image may hold. */
export const LISTS_MAX = 4096
/** Distinct values (verdicts, with and without stored names below) of one image. */
export const VALUES_MAX = 65_535

export const SECTION_META = 1
export const SECTION_VALUES = 2
export const SECTION_OPENINGS = 3
export const SECTION_DICTIONARY = 4
export const SECTION_MODEL = 5
export const SECTION_HEADS = 6
export const SECTION_FINGERS = 7
export const SECTION_RECORD_STARTS = 8
export const SECTION_RECORDS = 9
export const SECTION_PLAIN = 10
export const SECTION_DOOR = 11

/**
 * Integers of one value: own categories and list, those of the names below, 1 when none is below.
 */
export const VALUE_FIELDS = 5
export const VALUE_SELF = 0
export const VALUE_SELF_LIST = 1
export const VALUE_BELOW = 2
export const VALUE_BELOW_LIST = 3
export const VALUE_LEAF = 4

/** Nodes of the suffix dictionary, the root included. */
export const DICTIONARY_NODES_MAX = 60_000
export const DICTIONARY_CODE_BITS_MAX = 24
/** A node's first octet: its code length, and this bit when it is itself a stored name. */
export const NODE_STORED = 0x80

/** Symbol 0 of the model: the boundary between two labels. The others are octets. */
export const SYMBOL_BOUNDARY = 0
/** Octets the model has symbols for; what else occurs makes a name plain. */
export const ALPHABET_MAX = 63
/** Contexts that a symbol's code can depend on: their rows have numbers of 14 bits. */
export const STATES_MAX = 3000
export const SYMBOL_CODE_BITS_MAX = 14
/**
 * A transition: code length in 4 bits, code in 14, row of the next state in 14. 0: no stored name
 * goes on so. A row is the place of a state's first transition, in cache lines of 16.
 */
export const TRANSITION_LENGTH_MASK = 15
export const TRANSITION_CODE_SHIFT = 4
export const TRANSITION_CODE_MASK = 0x3fff
export const TRANSITION_ROW_SHIFT = 18
export const ROW_TRANSITIONS_SHIFT = 4

/** Bits of the longest code kept in blocks. */
export const CODE_BITS_MAX = 640
export const CODE_WORDS_MAX = CODE_BITS_MAX / 32

/** Names of a full block. */
export const BLOCK_NAMES = 32
/** Octets of the fingers of a block: one cache line. */
export const FINGERS_OCTETS = BLOCK_NAMES * 2
export const FINGER_BITS = 8

/**
 * Of a record's start: some name of the block has labels in front of the one before its dictionary
 * suffix. The other bits are the number of the record's first bit.
 */
export const START_DEEP_FLAG = 0x8000_0000
export const START_MASK = 0x7fff_ffff

/** Widths of a record's first fields. */
export const RECORD_HEAD_BITS = 32
export const RECORD_COUNT_SHIFT = 26
export const RECORD_OTHERS_FLAG = 1 << 25
export const RECORD_SHIFT_SHIFT = 20
export const RECORD_SHIFT_MASK = 31
export const RECORD_SHORTEST_SHIFT = 10
export const RECORD_LENGTH_MASK = 1023

/** Levels of blocks below blocks: one for each word of a code. */
export const LEVELS_MAX = CODE_WORDS_MAX + 1
