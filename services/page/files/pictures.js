// Training pictures in the browser: each as it will be trained, and what is wrong with it, before anything is sent.

import { isAlike, lookOf, LOOKED_AT } from "/page/alike.js";

let lastId = 0;

/** Looks at a file as `base` trains and takes it; never throws: what cannot be read or sent becomes a problem. */
export async function look(file, base) {
  const side = base.native_px;
  const picture = { id: ++lastId, file, name: file.name || "pasted picture", problems: [], usable: true, caption: "" };
  const refused = refusal(file, base.uploads);
  if (refused) return { ...picture, usable: false, problems: [refused] };
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return { ...picture, usable: false, problems: ["It is not a picture that can be read."] };
  }
  const { width, height } = bitmap;
  Object.assign(picture, { width, height, look: lookAt(bitmap), thumbnail: await cropped(bitmap, side) });
  const shorter = Math.min(width, height);
  const most = base.uploads.max_px;
  if (width * height > most) {
    picture.usable = false;
    picture.problems.push(`It is too large: ${millions(width * height)} million pixels; ${millions(most)} million are allowed. Scale it down.`);
  } else if (shorter < side / 2) {
    picture.usable = false;
    picture.problems.push(`It is too small: ${width} x ${height}; its shorter side needs ${Math.ceil(side / 2)} px.`);
  } else if (shorter < side) {
    picture.problems.push(`It is enlarged from ${shorter} to ${side} px.`);
  }
  if (Math.max(width, height) > shorter * 1.05) picture.cropped = true;
  bitmap.close();
  return picture;
}

const millions = (number) => (number / 1e6).toLocaleString([], { maximumSignificantDigits: 4 });

/** Why the service would not take a file, as far as can be told before it is read. */
function refusal(file, { max_bytes: most, media_types: types }) {
  if (file.type && !types.includes(file.type)) {
    const names = types.map((type) => type.replace("image/", "").toUpperCase());
    return `It is not a picture that can be read here (${file.type}). Save it as ${names.slice(0, -1).join(", ")} or ${names.at(-1)}.`;
  }
  return file.size > most ? `The file is too large: ${millions(file.size)} MB; ${millions(most)} MB are allowed. Scale it down.` : null;
}

/** What each picture has against others; the later one of two that look the same is named. */
export function sameAs(pictures, place) {
  const mine = pictures[place].look;
  if (!mine) return null;
  const twin = pictures.slice(0, place).find((other) => other.look && isAlike(mine, other.look));
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

function lookAt(bitmap) {
  const [, context] = canvasOf(...LOOKED_AT);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, ...LOOKED_AT);
  return lookOf(context.getImageData(0, 0, ...LOOKED_AT).data);
}
