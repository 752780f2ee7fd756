// Training pictures in the browser: each as it will be trained, and what is wrong with it, before anything is sent.

const HASH = [9, 8]; // difference hash: 8 x 8 comparisons of neighbours
const NEAR = 6; // differing bits up to which two pictures look the same
let lastId = 0;

/** Looks at a file; never throws: what cannot be read becomes a problem. */
export async function look(file, side) {
  const picture = { id: ++lastId, file, name: file.name || "pasted picture", problems: [], usable: true, caption: "" };
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return { ...picture, usable: false, problems: ["It is not a picture that can be read."] };
  }
  const { width, height } = bitmap;
  Object.assign(picture, { width, height, hash: hashOf(bitmap), thumbnail: await cropped(bitmap, side) });
  const shorter = Math.min(width, height);
  if (shorter < side / 2) {
    picture.usable = false;
    picture.problems.push(`It is too small: ${width} x ${height}; its shorter side needs ${Math.ceil(side / 2)} px.`);
  } else if (shorter < side) {
    picture.problems.push(`It is enlarged to ${side} px from ${shorter}.`);
  }
  if (Math.max(width, height) > shorter * 1.05) picture.cropped = true;
  bitmap.close();
  return picture;
}

/** What each picture has against others; the later one of two that look the same is named. */
export function sameAs(pictures, place) {
  const mine = pictures[place].hash;
  if (!mine) return null;
  const twin = pictures.slice(0, place).find((other) => other.hash && distance(mine, other.hash) <= NEAR);
  return twin ? `It looks the same as ${twin.name}: a second copy teaches nothing.` : null;
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return [canvas, canvas.getContext("2d", { willReadFrequently: true })];
}

async function cropped(bitmap, side) {
  const edge = Math.min(bitmap.width, bitmap.height);
  const [canvas, context] = canvasOf(side, side);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (bitmap.width - edge) / 2, (bitmap.height - edge) / 2, edge, edge, 0, 0, side, side);
  return canvas.toDataURL("image/png");
}

function hashOf(bitmap) {
  const [, context] = canvasOf(...HASH);
  context.drawImage(bitmap, 0, 0, ...HASH);
  const { data } = context.getImageData(0, 0, ...HASH);
  const gray = Array.from({ length: HASH[0] * HASH[1] }, (_, i) => data[4 * i] * 0.3 + data[4 * i + 1] * 0.59 + data[4 * i + 2] * 0.11);
  const bits = [];
  for (let y = 0; y < HASH[1]; y++) {
    for (let x = 0; x < HASH[0] - 1; x++) bits.push(gray[y * HASH[0] + x] > gray[y * HASH[0] + x + 1]);
  }
  return bits;
}

const distance = (one, other) => one.reduce((sum, bit, place) => sum + (bit !== other[place]), 0);
