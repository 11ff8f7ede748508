// @vitest-environment jsdom
import { fireEvent, render, screen } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { Menu } from "./menu";

function open() {
  const onSelect = vi.fn();
  render(
    <Menu
      label="Settings"
      trigger="S"
      items={[
        { key: "a", label: "First", onSelect: vi.fn() },
        { key: "b", label: "Second", checked: true, onSelect },
      ]}
    />,
  );
  fireEvent.click(screen.getByRole("button", { name: /Settings/ }));
  return onSelect;
}

test("opens on its first item, and arrow keys go round", () => {
  open();
  expect(document.activeElement?.textContent).toBe("First");
  fireEvent.keyDown(document.activeElement as Element, { key: "ArrowUp" });
  expect(document.activeElement?.textContent).toBe("Second");
});

test("Escape closes it and gives the focus back", () => {
  open();
  fireEvent.keyDown(document.activeElement as Element, { key: "Escape" });
  expect(screen.queryByRole("menu")).toBeNull();
  expect(document.activeElement).toBe(screen.getByRole("button", { name: /Settings/ }));
});

test("choosing an item closes the menu and does it", () => {
  const onSelect = open();
  fireEvent.click(screen.getByRole("menuitemradio", { name: "Second", checked: true }));
  expect(onSelect).toHaveBeenCalledOnce();
  expect(screen.queryByRole("menu")).toBeNull();
});
