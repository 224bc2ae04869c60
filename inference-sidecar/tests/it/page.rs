//! The page as a person sees it, in a real browser.

use image::{GrayImage, ImageFormat};

use crate::browser::Browser;
use crate::images::{encoded, preprocessing, server, trousers};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_drops_an_image_and_sees_what_it_is() {
    let running = server(preprocessing(), &["--page", "true"]).await;
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, data: &[u8]| {
        let path = files.path().join(name);
        std::fs::write(&path, data).unwrap();
        path
    };
    let small = file("trousers.png", &encoded(&trousers(28), ImageFormat::Png));
    let large = file("large.png", &encoded(&GrayImage::new(400, 300), ImageFormat::Png));
    let text = file("text.png", b"no image");

    let mut browser = Browser::open(&running.url("/")).await;
    browser.until("document.querySelector('h1').innerText === 'fashion, revision r1'").await;
    assert_eq!(browser.evaluate("document.querySelector('img').hidden").await, true);

    browser.drop_file("#drop", &small).await;
    browser.until("document.querySelectorAll('dt').length === 5").await;
    assert_eq!(browser.evaluate("document.querySelector('dt').innerText").await, "Trouser");
    let probability = browser.evaluate("document.querySelector('dd').innerText").await;
    assert!(probability.as_str().unwrap().ends_with(" %"), "{probability}");
    let note = browser.evaluate("document.querySelector('#note').innerText").await;
    assert!(note.as_str().unwrap().ends_with("by revision r1"), "{note}");
    // 28 pixels are a few millimetres: nobody would see what was dropped.
    let sizes = "(({width, height}) => [width, height])(document.querySelector('img').getBoundingClientRect())";
    assert_eq!(browser.evaluate(sizes).await, serde_json::json!([192, 192]));
    assert_eq!(browser.evaluate("document.querySelector('img').naturalWidth").await, 28);

    // What is wrong takes the place of the labels, and what is no image is not shown.
    for (path, reason, shown) in
        [(&text, "expected a JPEG, PNG or WebP image", false), (&large, "found an image of 400 x 300", true)]
    {
        browser.choose_file("#file", path).await;
        browser.until(&format!("document.querySelector('#note').innerText.includes({reason:?})")).await;
        assert_eq!(browser.evaluate("document.querySelectorAll('dt').length").await, 0, "{reason}");
        browser.until(&format!("document.querySelector('img').hidden === {}", !shown)).await;
    }

    // The same file once more, when it has been put right.
    std::fs::write(&text, encoded(&trousers(28), ImageFormat::Png)).unwrap();
    browser.choose_file("#file", &text).await;
    browser.until("document.querySelector('dt')?.innerText === 'Trouser'").await;

    // Connections that Chromium opened in advance are served for another second.
    drop(running);
    loop {
        browser.drop_file("#drop", &small).await;
        browser.until("document.querySelector('#note').innerText !== '…'").await;
        let note = browser.evaluate("document.querySelector('#note').innerText").await;
        if note.as_str().unwrap().starts_with("No answer: ") {
            break;
        }
    }
}
