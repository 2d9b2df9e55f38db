// Thumbnails: sheets are turned into pictures when one of their tiles is first needed.
const sheets = data.sheets.map((sheet, s) => {
  const index = u32(sheet.index);
  const place = new Int32Array(n).fill(-1);
  index.forEach((i, p) => { place[i] = p; });
  return {...sheet, s, place, total: index.length, perSheet: sheet.columns ** 2, loaded: new Map()};
});
const hasSheets = sheets.length > 0;
const hasTile = (i) => hasSheets && sheets[0].place[i] >= 0;
const tileRatio = hasSheets ? sheets[0].width / sheets[0].height : 1;
if (hasSheets) document.documentElement.style.setProperty("--tile", `${sheets[0].width} / ${sheets[0].height}`);

function sheetOf(sheet, number) {
  let loaded = sheet.loaded.get(number);
  if (!loaded) {
    const text = byId(`sheet-${sheet.s}-${number}`).textContent;
    const url = URL.createObjectURL(new Blob([bytes(text)], {type: sheet.mime}));
    loaded = {url, picture: null, ready: false};
    sheet.loaded.set(number, loaded);
  }
  return loaded;
}

// Where the tile of image i lies: the larger tile when it is there and wanted.
function tileOf(i, large) {
  for (const sheet of large ? [...sheets].reverse() : sheets) {
    const p = sheet.place[i];
    if (p < 0) continue;
    const number = Math.floor(p / sheet.perSheet);
    const within = p % sheet.perSheet;
    const rows = Math.ceil(Math.min(sheet.perSheet, sheet.total - number * sheet.perSheet) / sheet.columns);
    return {sheet, number, rows, column: within % sheet.columns, row: Math.floor(within / sheet.columns)};
  }
  return null;
}

const along = (p, length) => (length > 1 ? `${(100 * p) / (length - 1)}%` : "0%");

function paint(target, i, large) {
  const tile = tileOf(i, large);
  target.dataset.image = i;
  if (!tile) {
    target.classList.add("blank");
    target.textContent = nameOf(i).split("/").pop();
    return target;
  }
  const {sheet, rows} = tile;
  target.style.backgroundImage = `url("${sheetOf(sheet, tile.number).url}")`;
  target.style.backgroundSize = `${100 * sheet.columns}% ${100 * rows}%`;
  target.style.backgroundPosition = `${along(tile.column, sheet.columns)} ${along(tile.row, rows)}`;
  return target;
}

// A tile that opens the image. One tile of a strip is in the tab order; arrow keys go on from there.
function tileButton(i, inTabOrder, large) {
  const button = paint(element("button", "thumb"), i, large);
  button.type = "button";
  button.tabIndex = inTabOrder ? 0 : -1;
  const label = `${nameOf(i)}, confidence ${confidenceOf(i).toFixed(2)}`;
  button.setAttribute("aria-label", label);
  button.title = label;
  if (now.matches?.has(i)) button.classList.add("hit");
  return button;
}

function tiles(list, large) {
  const grid = element("div", "tiles");
  list.forEach((i, p) => grid.append(tileButton(i, p === 0, large)));
  return grid;
}

// For the canvas: draws the tile of image i, or asks for its sheet and calls `later` once it is there.
function drawTile(context, i, x, y, width, height, later) {
  const tile = tileOf(i, width > 60);
  if (!tile) return false;
  const loaded = sheetOf(tile.sheet, tile.number);
  if (!loaded.picture) {
    loaded.picture = new Image();
    loaded.picture.onload = () => { loaded.ready = true; later(); };
    loaded.picture.src = loaded.url;
  }
  if (!loaded.ready) return false;
  const {width: w, height: h} = tile.sheet;
  context.drawImage(loaded.picture, tile.column * w, tile.row * h, w, h, x, y, width, height);
  return true;
}
