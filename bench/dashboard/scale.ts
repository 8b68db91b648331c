/** Where axes have their marks, where rows of words break, and where panels lie. */

/** A rectangle of the picture, in its pixels. */
export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

const HOUR_S = 3600
const ROUND = [1, 2, 2.5, 5, 10]
const ROUND_BINARY = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
const TIME_STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600]

/**
 * Returns the marks of an axis from 0 up to the first round value that `max` does not exceed.
 *
 * @param marksMax the most marks above 0; there is one at least.
 * @param base 1024 for octets, so that marks are whole KiB or MiB.
 */
export function valueMarks(max: number, marksMax: number, base: 1000 | 1024): readonly number[] {
  if (!(max > 0)) return [0, 1]
  const wanted = max / marksMax
  const radix = base === 1024 ? 1024 : 10
  const power = radix ** Math.floor(Math.log(wanted) / Math.log(radix))
  const rounds = base === 1024 && wanted >= 1 ? ROUND_BINARY : ROUND
  // What a sum in floating point lacks to the round value is not worth a larger step.
  const step = power * (rounds.find((round) => power * round >= wanted * (1 - 1e-9)) ?? radix)
  const count = Math.max(1, Math.ceil((max / step) * (1 - 1e-9)))
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)))
}

/** Returns the marks of an axis of elapsed time, `spanSeconds` long: multiples of a round step. */
export function timeMarks(spanSeconds: number, marksMax: number): readonly number[] {
  const step =
    TIME_STEPS_S.find((seconds) => spanSeconds / seconds <= marksMax) ??
    Math.ceil(spanSeconds / marksMax / HOUR_S) * HOUR_S
  const count = Math.floor(spanSeconds / step)
  return Array.from({ length: count + 1 }, (_, index) => index * step)
}

/** `m:ss`. */
export function elapsed(seconds: number): string {
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`
}

/** Returns where a value lies between two pixels. */
export function position(value: number, max: number, from: number, to: number): number {
  return from + (value / max) * (to - from)
}

/**
 * Returns the boxes of `count` panels in rows of `columns` that fill `area`'s width, each
 * `height` high and `gap` from the next.
 */
export function grid(
  count: number,
  columns: number,
  area: { readonly x: number; readonly y: number; readonly width: number },
  { height, gap }: { readonly height: number; readonly gap: number },
): readonly Box[] {
  const width = (area.width - gap * (columns - 1)) / columns
  return Array.from({ length: count }, (_, index) => ({
    x: area.x + (index % columns) * (width + gap),
    y: area.y + Math.floor(index / columns) * (height + gap),
    width,
    height,
  }))
}

/** Returns the items in rows none of which is wider than `widthMax`, unless by one item alone. */
export function inRows<Item>(
  items: readonly Item[],
  widthOf: (item: Item) => number,
  widthMax: number,
): readonly (readonly Item[])[] {
  const rows: Item[][] = []
  let left = 0
  for (const item of items) {
    const width = widthOf(item)
    if (rows.length === 0 || width > left) {
      rows.push([])
      left = widthMax
    }
    rows.at(-1)!.push(item)
    left -= width
  }
  return rows
}
