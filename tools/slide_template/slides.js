// Starts reveal.js, and makes what is too wide or too high smaller; what still is too high can be scrolled.
const HEIGHT = 720, SMALLEST = 0.6;

function narrow(block, room) {
  block.style.fontSize = "";
  const width = Math.max(block.scrollWidth, block.offsetWidth);
  if (width > room) {
    const size = parseFloat(getComputedStyle(block).fontSize);
    block.style.fontSize = size * Math.max(SMALLEST, (room - 4) / width) + "px";
  }
}

function fit(slide) {
  if (!slide || slide.dataset.fits) return;
  slide.dataset.fits = "yes";
  for (let share = 1; share >= SMALLEST; share -= 0.05) {
    slide.style.fontSize = share * 100 + "%";
    for (const block of slide.querySelectorAll("pre, table")) narrow(block, slide.clientWidth);
    if (slide.scrollHeight <= HEIGHT) return;
  }
  slide.classList.add("scrolls");
  slide.tabIndex = 0;
}

Reveal.initialize({
  width: 1280, height: HEIGHT, margin: 0.04, center: false, hash: true, slideNumber: "c/t", transition: "none",
  backgroundTransition: "none", pdfSeparateFragments: false, pdfMaxPagesPerSlide: 1, plugins: [RevealNotes],
});
Reveal.on("ready", event => fit(event.currentSlide));
Reveal.on("slidechanged", event => fit(event.currentSlide));
Reveal.on("pdf-ready", () => document.querySelectorAll(".pdf-page section").forEach(fit));
