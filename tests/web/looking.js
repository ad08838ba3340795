// For tests of the pages: what can hardly be read, and what a screen reader has no name for.

// Text whose contrast with what is behind it is below 4.5 to 1, by the formula of WCAG 2.
function tooFaint() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((value, place) => value * top[3] + under[place] * (1 - top[3]));
  const behind = (one) => {
    const stack = [];
    for (let at = one; at; at = at.parentElement) stack.unshift(rgba(getComputedStyle(at).backgroundColor));
    return stack.reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const luminance = (rgb) => {
    const [red, green, blue] = rgb.map((value) => linear(value / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const found = {};
  for (const one of document.querySelectorAll("body *")) {
    if (!one.offsetParent || ![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const under = behind(one);
    const both = [luminance(over(rgba(getComputedStyle(one).color), under)), luminance(under)];
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    if (ratio < 4.5) found[`${one.tagName}.${one.className} ${one.textContent.slice(0, 20)}`] = ratio;
  }
  return found;
}

function nameless() {
  return [...document.querySelectorAll("button, input, select, a, [role=button]")]
    .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length))
    .map((one) => one.outerHTML);
}
