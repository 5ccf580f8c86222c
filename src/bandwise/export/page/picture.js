// From a file to the canvas that the model takes: decoded by the browser, resized as Pillow does it.

const MAX_BYTES = 32 * 1024 * 1024;
const MIN_SIDE = 8;
const PRECISION = 22;

/** Decode a file and return {width, height, data}, RGBA over the background; an Error says what is wrong with it. */
export async function decode(file, rules) {
  const size = `${file.name || "The picture"} has ${(file.size / 1e6).toFixed(1)} MB`;
  if (file.size > MAX_BYTES) throw new Error(`${size}; this page takes files up to ${MAX_BYTES >> 20} MB.`);
  const imageOrientation = rules.exif === "transpose" ? "from-image" : "none";
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation, colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${file.name || "This"} is no picture that this browser can decode.`);
  }
  const { width, height } = bitmap;
  const large = width * height > rules.max_pixels;
  if (large || Math.min(width, height) < MIN_SIDE) {
    bitmap.close();
    const rule = large ? `at most ${rules.max_pixels} are taken` : `the short side must have at least ${MIN_SIDE}`;
    throw new Error(`The picture has ${width} x ${height} pixels; ${rule}.`);
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = `rgb(${rules.background} ${rules.background} ${rules.background})`;
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, data: context.getImageData(0, 0, width, height).data };
}

/** Return the central square, resized to side x side, as planes (channels, side, side) of bytes. */
export function toCanvas({ width, height, data }, side, channels) {
  const short = Math.min(width, height);
  const left = Math.floor((width - short) / 2);
  const top = Math.floor((height - short) / 2);
  const across = filters(width, left, short, side);
  const down = filters(height, top, short, side);
  const [first, last] = [down[0].start, down[side - 1].start + down[side - 1].weights.length];
  const planes = new Uint8Array(channels * side * side);
  const rows = new Uint8Array((last - first) * side);
  for (let channel = 0; channel < channels; channel++) {
    for (let y = first; y < last; y++) {
      for (let x = 0; x < side; x++) {
        const { start, weights } = across[x];
        let sum = 1 << (PRECISION - 1);
        let place = (y * width + start) * 4 + channel;
        for (let k = 0; k < weights.length; k++, place += 4) {
          sum += weights[k] * (channels === 1 ? grey(data, place) : data[place]);
        }
        rows[(y - first) * side + x] = clip(sum);
      }
    }
    for (let y = 0; y < side; y++) {
      const { start, weights } = down[y];
      for (let x = 0; x < side; x++) {
        let sum = 1 << (PRECISION - 1);
        for (let k = 0; k < weights.length; k++) sum += weights[k] * rows[(start - first + k) * side + x];
        planes[(channel * side + y) * side + x] = clip(sum);
      }
    }
  }
  return planes;
}

/** Pillow's triangle filter, which widens when it shrinks: of each output pixel the first input pixel and the weights. */
function filters(size, offset, length, side) {
  const scale = length / side;
  const widened = Math.max(scale, 1);
  return Array.from({ length: side }, (_, place) => {
    const centre = offset + (place + 0.5) * scale;
    const start = Math.max(Math.trunc(centre - widened + 0.5), 0);
    const end = Math.min(Math.trunc(centre + widened + 0.5), size);
    const raw = Array.from({ length: end - start }, (_, k) =>
      Math.max(1 - Math.abs((start + k - centre + 0.5) / widened), 0));
    const total = raw.reduce((sum, value) => sum + value, 0);
    // Whole numbers, as there: all sums are exact.
    return { start, weights: Int32Array.from(raw, (value) => Math.trunc(0.5 + (value / total) * (1 << PRECISION))) };
  });
}

function grey(data, place) {
  return (data[place] * 19595 + data[place + 1] * 38470 + data[place + 2] * 7471 + 0x8000) >> 16;
}

function clip(sum) {
  return Math.min(Math.max(sum >> PRECISION, 0), 255);
}
