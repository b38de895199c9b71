//! Small XML documents: lists and errors of servers.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

/// Deeper documents are not lists of blobs.
const MAX_DEPTH: usize = 16;

/// Elements of one document: some pages of a list have a thousand entries with ten elements each.
const MAX_ELEMENTS: usize = 200_000;

/// An element with what is in it. Names are without their namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// Parses a document; `None` where it is not well-formed, not one element, or absurd.
    pub(crate) fn parse(document: &[u8]) -> Option<Self> {
        let mut reader = Reader::from_reader(document);
        reader.config_mut().check_end_names = true;
        let mut open: Vec<Self> = Vec::new();
        let mut root = None;
        let mut count = 0_usize;
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => {
                    count += 1;
                    if root.is_some() || open.len() >= MAX_DEPTH || count > MAX_ELEMENTS {
                        return None;
                    }
                    open.push(Self::begin(&start)?);
                }
                Event::Empty(start) => {
                    count += 1;
                    if root.is_some() || count > MAX_ELEMENTS {
                        return None;
                    }
                    let element = Self::begin(&start)?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => root = Some(element),
                    }
                }
                Event::End(_) => {
                    let element = open.pop()?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => root = Some(element),
                    }
                }
                Event::Text(text) => {
                    let text = text.decode().ok()?;
                    match open.last_mut() {
                        Some(element) => element.text.push_str(&text),
                        None if text.trim().is_empty() => {}
                        None => return None,
                    }
                }
                Event::CData(data) => open.last_mut()?.text.push_str(&data.decode().ok()?),
                Event::GeneralRef(reference) => open.last_mut()?.text.push_str(&resolved(&reference)?),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                // Definitions of entities and the like have no place here.
                Event::DocType(_) => return None,
                Event::Eof => return root.filter(|_| open.is_empty()),
            }
        }
    }

    fn begin(start: &BytesStart<'_>) -> Option<Self> {
        let local = |name: &[u8]| std::str::from_utf8(name).ok().map(str::to_owned);
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.ok()?;
            let value = std::str::from_utf8(&attribute.value).ok()?;
            let value = quick_xml::escape::unescape(value).ok()?.into_owned();
            attributes.push((local(attribute.key.local_name().as_ref())?, value));
        }
        Some(Self { name: local(start.local_name().as_ref())?, attributes, ..Self::default() })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The elements in it.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Self> {
        self.children.iter()
    }

    /// The elements in it that have this name.
    pub(crate) fn all<'e, 'n: 'e>(&'e self, name: &'n str) -> impl Iterator<Item = &'e Self> + use<'e, 'n> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The only element in it that has this name.
    pub(crate) fn one(&self, name: &str) -> Option<&Self> {
        let mut found = self.children.iter().filter(|child| child.name == name);
        found.next().filter(|_| found.next().is_none())
    }

    /// The text of the only element of this name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.one(name).map(Self::text)
    }

    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

fn resolved(reference: &BytesRef<'_>) -> Option<String> {
    if reference.is_char_ref() {
        return reference.resolve_char_ref().ok()?.map(String::from);
    }
    resolve_predefined_entity(&reference.decode().ok()?).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read() {
        let root = Element::parse(
            b"<?xml version=\"1.0\"?><D:a xmlns:D=\"DAV:\" n=\"1&amp;2\"><b>x&lt;y&#33;</b><c/><b><![CDATA[&]]></b></D:a>\n",
        )
        .unwrap();
        assert_eq!((root.name(), root.attribute("n")), ("a", Some("1&2")));
        assert_eq!(root.all("b").map(Element::text).collect::<Vec<_>>(), ["x<y!", "&"]);
        assert_eq!((root.value("c"), root.value("b"), root.value("d")), (Some(""), None, None));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bad in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>text",
            "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>",
            "<a>&e;</a>",
            "<html><body><hr></body></html>",
            "<a",
        ] {
            assert_eq!(Element::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Element::parse("<a>".repeat(99).as_bytes()), None);
    }
}
