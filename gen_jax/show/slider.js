// The slider shows the sample grid of the step it stands at.
(() => {
  const slides = JSON.parse(document.getElementById("slides").textContent);
  const slider = document.getElementById("step");
  const picture = document.getElementById("grid");
  slider.addEventListener("input", () => {
    const { step, picture: shown } = slides[Number(slider.value)];
    const words = step.toLocaleString("en");
    picture.src = shown.uri;
    picture.alt = `Samples after ${words} steps`;
    document.getElementById("step-shown").textContent = words;
    slider.setAttribute("aria-valuetext", `step ${words}`);
  });
})();
