"""A picture on which a box is drawn by dragging: for gradio's HTML component, whose value is {path, box}.

The box is (x, y, width, height) in shares of the picture. The picture is fetched from the server by its path.
"""

HTML = """
<div class="canvas">
  ${value.path ? `<img draggable="false" src="gradio_api/file=${encodeURI(value.path)}">` : ""}
  <div class="drawn" style="${value.box ? ["left", "top", "width", "height"].map((name, n) =>
    `${name}:${100 * value.box[n]}%`).join(";") : "display:none"}"></div>
</div>
"""

CSS = """
.canvas { position: relative; display: inline-block; cursor: crosshair; touch-action: none; user-select: none; }
.canvas img { display: block; max-width: 100%; max-height: 400px; min-width: 200px; }
.drawn { position: absolute; border: 2px solid #f60; box-shadow: 0 0 0 1px white; pointer-events: none; }
"""

JS = """
let from = null, box = null;
const at = event => {
  const own = element.querySelector("img").getBoundingClientRect();
  const share = (n, first, length) => Math.min(Math.max((n - first) / length, 0), 1);
  return [share(event.clientX, own.left, own.width), share(event.clientY, own.top, own.height)];
};
element.addEventListener("pointerdown", event => {
  if (event.target.tagName === "IMG") { from = at(event); box = null; event.preventDefault(); }
});
window.addEventListener("pointermove", event => {
  if (!from) return;
  const to = at(event), drawn = element.querySelector(".drawn");
  box = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];
  drawn.style.display = "block";
  ["left", "top", "width", "height"].forEach((name, n) => { drawn.style[name] = `${100 * box[n]}%`; });
});
window.addEventListener("pointerup", () => {
  if (from) props.value = {...props.value, box: box && box[2] * box[3] > 0 ? box : null};
  from = null;
});
"""
