// Whether two pictures look the same: the service's own rule (textinv/images/duplicates.py), before anything is sent.
// A look is where brightness rises or falls in a 17 x 16 copy, and the colours of a 4 x 4 copy.

const SIDE = 16;
const LEAST_RISE = 2; // of 255
const MAX_DIFFERENT_BITS = 24; // of 512
const MAX_COLOUR_DIFFERENCE = 16; // of 255, in any cell
export const LOOKED_AT = [(SIDE + 1) * SIDE, SIDE * SIDE]; // width and height that both copies divide

/** The look of a picture from its RGBA values at `LOOKED_AT`. */
export function lookOf(data) {
  const gray = means(data, SIDE + 1, SIDE).map(([red, green, blue]) => Math.round(0.299 * red + 0.587 * green + 0.114 * blue));
  const edges = [];
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const place = y * (SIDE + 1) + x;
      const rise = gray[place + 1] - gray[place];
      edges.push(rise > LEAST_RISE, rise < -LEAST_RISE);
    }
  }
  return { edges, colours: means(data, 4, 4).flat() };
}

export function isAlike(one, other) {
  const different = one.edges.filter((edge, place) => edge !== other.edges[place]).length;
  if (different > MAX_DIFFERENT_BITS) return false;
  return one.colours.every((colour, place) => Math.abs(colour - other.colours[place]) <= MAX_COLOUR_DIFFERENCE);
}

/** Mean red, green and blue of each cell, row by row. */
function means(data, across, down) {
  const [width, height] = LOOKED_AT;
  const [cellWidth, cellHeight] = [width / across, height / down];
  const sums = Array.from({ length: across * down }, () => [0, 0, 0]);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const sum = sums[Math.floor(y / cellHeight) * across + Math.floor(x / cellWidth)];
      const at = 4 * (y * width + x);
      for (let channel = 0; channel < 3; channel++) sum[channel] += data[at + channel];
    }
  }
  return sums.map((sum) => sum.map((total) => total / (cellWidth * cellHeight)));
}
