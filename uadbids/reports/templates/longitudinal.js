// Sessions side by side, one at a time, or flickering: all pictures have the same slices.
(() => {
  const frame = document.getElementById("sessions");
  const figures = [...frame.querySelectorAll("figure")];
  const controls = document.getElementById("views");
  let timer = 0;
  const show = (number) => figures.forEach((f, i) => f.classList.toggle("front", i === number));
  const choose = (view) => {
    clearInterval(timer);
    frame.classList.toggle("stacked", view !== "side");
    if (view === "side") return;
    let number = view === "flicker" ? 0 : Number(view);
    show(number);
    if (view === "flicker") {
      timer = setInterval(() => show(number = (number + 1) % figures.length), 700);
    }
  };
  const outline = (on) => figures.forEach((figure) => {
    const image = figure.querySelector("img");
    image.src = on ? image.dataset.over : image.dataset.under;
  });
  controls.hidden = false;
  controls.addEventListener("change", (event) => {
    if (event.target.name === "view") choose(event.target.value);
    else outline(event.target.checked);
  });
})();
