"use strict";
addEventListener("load", () => {
  const drawings = [...document.querySelectorAll("figure svg")].filter((svg) => svg.getBoundingClientRect().width > 0);
  const overlap = (one, other) =>
    Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1.5 &&
    Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 4;
  const covered = [], cut = [];
  for (const svg of drawings) {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim());
    const boxes = texts.map((text) => text.getBoundingClientRect());
    boxes.forEach((box, index) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1) {
        cut.push(`${svg.id || svg.getAttribute("aria-labelledby")}: ${texts[index].textContent}`);
      }
      boxes.slice(0, index).forEach((other, before) => {
        if (overlap(box, other)) covered.push(`${svg.getAttribute("aria-labelledby")}: ${texts[before].textContent} | ${texts[index].textContent}`);
      });
    });
  }
  const requests = performance.getEntriesByType("resource").filter((entry) => !entry.name.startsWith("data:"));
  const wider = Math.max(0, document.documentElement.scrollWidth - innerWidth);
  document.documentElement.dataset.probe =
    `requests ${requests.length}, drawings ${drawings.length}, wider ${wider}, covered ${covered.length}, cut ${cut.length}; ` +
    `${[...covered, ...cut].slice(0, 12).join(" / ")} heights ${[...document.querySelectorAll("section[id^=run]")].map((run) => Math.ceil(run.getBoundingClientRect().height)).join(" ")}`;
});
